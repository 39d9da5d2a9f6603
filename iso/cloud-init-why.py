#!/usr/bin/python3
# Adds why guestbake failed to what `cloud-init status --long` shows. cloud-init itself only records that runcmd failed, and
# writes its status anew at the end of each stage: so this is for the time after its last one.
import json
import os

RUN = "/run/guestbake/"


def result():
    """The result line: beside the verdict, or in the report."""
    for name in ("verdict", "report.json"):
        try:
            with open(RUN + name) as file:
                text = file.read()
            found = json.loads(text)["result"] if name == "report.json" else json.loads(text.split("\n")[1])
        except (OSError, ValueError, IndexError, KeyError):
            continue
        if found:
            return found
    return {}


def add(path, errors_of, why):
    try:
        with open(path) as file:
            status = json.load(file)
        errors_of(status["v1"]).append(why)
        with open(path + ".guestbake", "w") as file:
            json.dump(status, file, indent=1)
        os.rename(path + ".guestbake", path)
    except (OSError, ValueError, KeyError) as error:
        print(f"{path}: {error!r}")


found = result()
if found.get("verdict") == "failed":
    why = "guestbake failed in stage {stage} ({reason}): {message}".format(**found)
    add("/run/cloud-init/status.json", lambda v1: v1["modules-final"].setdefault("errors", []), why)
    add("/run/cloud-init/result.json", lambda v1: v1.setdefault("errors", []), why)
