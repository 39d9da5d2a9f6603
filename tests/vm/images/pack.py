"""Packs container images out of one Debian root into an archive that `docker load` takes.

usage: pack.py ARCH ROOT IMAGES.json OUT.tar

ROOT may be of any architecture: nothing in it is run.

An image holds the files of the packages it names and the libraries their programs load; a package whose name ends in
an equals sign and paths gives only these; "made" names paths that no package owns. What every image of the archive
needs stands once, in the first layer.
Same input, same bytes: names are sorted, times and owners do not come from this machine.
"""

import fnmatch
import glob
import hashlib
import io
import json
import os
import re
import stat
import subprocess
import sys
import tarfile

EPOCH = "2026-01-01T00:00:00Z"
EPOCH_SECONDS = 1767225600
NOT_NEEDED = [
    "/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*",
    "/usr/share/bug/*", "/usr/share/bash-completion/*", "/usr/share/initramfs-tools/*", "/usr/lib/systemd/*",
    "/etc/init.d/*", "/etc/cron*", "/etc/logrotate.d/*", "/usr/share/postgresql-common/*", "/usr/lib/udev/*",
    # Postgres's JIT brings all of LLVM, and pays off for long queries only.
    "*/llvmjit*", "*/bitcode/*", "*/lib/pgxs/*",
]
# What no package owns, or what maintainer scripts made.
ALWAYS = ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/os-release", "/bin", "/sbin", "/lib", "/lib64",
          "/root", "/tmp", "/var/tmp", "/run", "/var/run", "/proc", "/sys", "/dev", "/etc", "/usr/bin", "/var/lib"]


TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}


def real(root, path):
    """PATH with the links in its folders resolved, as /lib -> usr/lib makes two names of one file."""
    folder = os.path.realpath(root + os.path.dirname(path))
    return os.path.join(folder, os.path.basename(path))[len(root):]


def is_elf(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def dpkg_list(root, arch, name):
    """What `dpkg -L` prints, from its own notes."""
    for noted in (f"{name}:{arch}", name):
        path = f"{root}/var/lib/dpkg/info/{noted}.list"
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                return file.read().splitlines()
    sys.exit(f"pack.py: no package {name} in {root}")


def files_of(root, arch, package):
    name, _, only = package.partition("=")
    wanted = only.split(",") if only else ["*"]
    names = set()
    for path in dpkg_list(root, arch, name):
        path = real(root, path)
        if not path.startswith("/") or path == "/" or not os.path.lexists(root + path):
            continue
        if any(fnmatch.fnmatch(path, pattern) for pattern in NOT_NEEDED):
            continue
        if os.path.isdir(root + path) and not os.path.islink(root + path) and only:
            continue
        if any(fnmatch.fnmatch(path, pattern) for pattern in wanted):
            names.add(path)
    if not names:
        sys.exit(f"pack.py: no files of package {name} in {root}")
    return names


def dynamic_section(root, path):
    """The libraries that a program names, and the folders it wants them from."""
    said = subprocess.run(["readelf", "-dW", root + path], capture_output=True, text=True, check=False).stdout
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", said)
    paths = re.findall(r"\((?:RUNPATH|RPATH)\).*\[(.*)\]", said)
    return needed, [p.replace("$ORIGIN", os.path.dirname(path)) for group in paths for p in group.split(":")]


def libraries(root, arch, names):
    """What the dynamic linker would load for these programs, links included."""
    usual = [f"/usr/lib/{TRIPLETS[arch]}", "/usr/lib"]
    pending = [n for n in sorted(names) if stat.S_ISREG(os.lstat(root + n).st_mode) and is_elf(root + n)]
    seen, found = set(pending), set()
    while pending:
        program = pending.pop()
        needed, folders = dynamic_section(root, program)
        for library in needed:
            path = next((f"{f}/{library}" for f in folders + usual if os.path.lexists(f"{root}{f}/{library}")), None)
            if path is None:
                sys.exit(f"pack.py: {program} needs {library}, which is not in {root}")
            while True:
                path = real(root, path)
                found.add(path)
                if not os.path.islink(root + path):
                    break
                path = os.path.join(os.path.dirname(path), os.readlink(root + path))
            if path not in seen:
                seen.add(path)
                pending.append(path)
    return found


def made(root, patterns):
    """What no package owns, maintainer scripts' links among it, and where these lead to."""
    found = set()
    for pattern in patterns:
        for path in glob.glob(root + pattern, recursive=True):
            # Through a link to an absolute path, these are files of this machine.
            if not os.path.realpath(os.path.dirname(path)).startswith(root):
                continue
            name = real(root, path[len(root):].rstrip("/"))
            while os.path.lexists(root + name):
                found.add(name)
                if not os.path.islink(root + name):
                    break
                name = real(root, os.path.join(os.path.dirname(name), os.readlink(root + name)))
    return found


def with_folders(names):
    whole = set(names)
    for name in names:
        while (name := os.path.dirname(name)) != "/":
            whole.add(name)
    return whole


class Layer:
    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w", format=tarfile.GNU_FORMAT)
        self.names = set()

    def add(self, info, data=None):
        info.mtime, info.uname, info.gname = EPOCH_SECONDS, "", ""
        self.tar.addfile(info, io.BytesIO(data) if data is not None else None)
        self.names.add("/" + info.name)

    def copy(self, root, name):
        info = self.tar.gettarinfo(root + name, arcname=name.lstrip("/"))
        if info is None:  # a socket
            return
        if info.islnk():
            info.type, info.size, info.linkname = tarfile.REGTYPE, os.lstat(root + name).st_size, ""
        data = None
        if info.isreg():
            with open(root + name, "rb") as file:
                data = file.read()
        self.add(info, data)

    def folder(self, name, owner=0, mode=0o755):
        info = tarfile.TarInfo(name.lstrip("/"))
        info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, mode, owner, owner
        self.add(info)

    def link(self, name, target):
        info = tarfile.TarInfo(name.lstrip("/"))
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, target, 0o777
        self.add(info)

    def file(self, name, data, mode):
        info = tarfile.TarInfo(name.lstrip("/"))
        info.size, info.mode = len(data), mode
        self.add(info, data)

    def finish(self):
        self.tar.close()
        data = self.buffer.getvalue()
        return hashlib.sha256(data).hexdigest(), data


def user_id(root, name):
    with open(root + "/etc/passwd", encoding="utf-8") as file:
        for line in file:
            fields = line.split(":")
            if fields[0] == name:
                return int(fields[2])
    sys.exit(f"pack.py: no user {name} in {root}")


def busybox_links(root, layer):
    with open(root + "/etc/busybox-applets", encoding="utf-8") as file:
        applets = file.read().split()
    for applet in applets:
        name = f"/usr/bin/{applet}"
        if applet != "busybox" and name not in layer.names:
            layer.link(name, "busybox")


def main():
    arch, root, description, out = sys.argv[1:]
    root = os.path.realpath(root)
    with open(description, encoding="utf-8") as file:
        plan = json.load(file)
    here = os.path.dirname(os.path.abspath(description))

    contents = {}
    for image in plan["images"]:
        names = set(n for n in ALWAYS if os.path.lexists(root + n))
        for package in plan["packages"] + image.get("packages", []):
            names |= files_of(root, arch, package)
        names |= made(root, image.get("made", []))
        contents[image["name"]] = with_folders(names | libraries(root, arch, names))
    shared = set.intersection(*contents.values())

    base = Layer()
    for name in sorted(shared):
        base.copy(root, name)
    busybox_links(root, base)
    layers = {"base": base.finish()}

    manifest, blobs = [], {}
    for image in plan["images"]:
        layer = Layer()
        own = {*image.get("files", {}), *image.get("folders", {})}
        for name in sorted(contents[image["name"]] - shared - own):
            layer.copy(root, name)
        for name, source in sorted(image.get("files", {}).items()):
            with open(os.path.join(here, source), "rb") as file:
                layer.file(name, file.read(), 0o755)
        for name, owner in sorted(image.get("folders", {}).items()):
            layer.folder(name, user_id(root, owner), 0o700)
        stack = [layers["base"]]
        if layer.names:
            stack.append(layer.finish())
        config = {
            "architecture": arch, "os": "linux", "created": EPOCH, "config": image["config"],
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest, _ in stack]},
            "history": [{"created": EPOCH, "created_by": "guestbake tests"} for _ in stack],
        }
        data = json.dumps(config, sort_keys=True).encode()
        name = hashlib.sha256(data).hexdigest() + ".json"
        blobs[name] = data
        for digest, layer_data in stack:
            blobs[f"{digest}/layer.tar"] = layer_data
        manifest.append({"Config": name, "RepoTags": [image["name"]],
                         "Layers": [f"{digest}/layer.tar" for digest, _ in stack]})
        print(f"{image['name']}: {', '.join(f'{len(d) / 1e6:.1f} MB' for _, d in stack)}")

    with tarfile.open(out, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in [*sorted(blobs.items()), ("manifest.json", json.dumps(manifest).encode())]:
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(data), EPOCH_SECONDS, 0o644
            tar.addfile(info, io.BytesIO(data))


main()
