"""Packs the layers of an image archive the way an engine loads them fastest: each with zstd, in a plain tar file.

usage: pack.py ARCHIVE OUT

ARCHIVE is what `docker save` wrote: plain tar, gzip or zstd. Needs the zstd command. Exit code 1: it stays as it is.

An engine keeps a temporary copy of what it is sent. So its socket and its disk carry a third of the bytes, and it unpacks
each layer while it applies it; see "Loading images" in README.md.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile

# Unpacking takes the same time whatever the level is; what lies above takes minutes to gain a few percent.
ZSTD = ["zstd", "--quiet", "-T0", "-12"]
GZIP_MAGIC, ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
# They name the layers of an OCI layout by the digests of what they were packed to.
OCI = {"index.json", "oci-layout"}


def unpacked(file, out):
    """FILE's content without its packing, in OUT."""
    # Not through Python's buffer, of which another process knows nothing.
    head = os.pread(file.fileno(), 4, 0)
    if head == ZSTD_MAGIC:
        subprocess.run(["zstd", "--quiet", "-d", "-c"], stdin=file, stdout=out, check=True)
    elif head[:2] == GZIP_MAGIC:
        subprocess.run(["gzip", "-d", "-c"], stdin=file, stdout=out, check=True)
    else:
        return file
    out.seek(0)
    return out


def layers_of(tar):
    """Paths of the layers, as manifest.json has them; None if there is none."""
    try:
        manifest = json.load(tar.extractfile("manifest.json"))
    except KeyError:
        return None
    return {layer for image in manifest for layer in image["Layers"]}


def main():
    source, target = sys.argv[1:]
    packed_layers = 0
    with open(source, "rb") as packed, tempfile.TemporaryFile(dir=folder(target)) as plain:
        archive = unpacked(packed, plain)
        with tarfile.open(fileobj=archive, mode="r:") as tar:
            layers = layers_of(tar)
            if layers is None:
                sys.exit("no manifest.json: not from `docker save`, or an OCI layout, whose layers are packed already")
            with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as out:
                for info in tar:
                    if info.name in OCI:
                        continue
                    if not info.isreg():
                        out.addfile(info)
                        continue
                    content = tar.extractfile(info)
                    if info.name not in layers or content.read(4) == ZSTD_MAGIC:
                        content.seek(0)
                        out.addfile(info, content)
                        continue
                    content.seek(0)
                    with spooled(target, lambda file: shutil.copyfileobj(content, file, 1 << 20)) as layer, \
                            tempfile.TemporaryFile(dir=folder(target)) as bare, \
                            spooled(target, lambda file: pack(unpacked(layer, bare), file)) as result:
                        info.size = result.seek(0, 2)
                        result.seek(0)
                        out.addfile(info, result)
                    packed_layers += 1
    print(f"{packed_layers} layers packed")


def pack(layer, out):
    # The size goes into the frame's head, for those who unpack it on its way.
    size = os.fstat(layer.fileno()).st_size
    subprocess.run([*ZSTD, f"--stream-size={size}", "-c"], stdin=layer, stdout=out, check=True)


def folder(target):
    return target.rpartition("/")[0] or "."


def spooled(target, write):
    file = tempfile.TemporaryFile(dir=folder(target))
    write(file)
    file.flush()
    file.seek(0)
    return file


if __name__ == "__main__":
    main()
