"""What a run consists of: run-lines.py CONSOLE. Its lines without times, sizes, paths and the containers' own words; and
as services start and answer side by side, the lines of a stage in the order of the alphabet."""
import re
import sys

lines, stage = [], []
for line in open(sys.argv[1], encoding="utf-8"):
    line = line.rstrip("\n").removeprefix("STACK_PROVISION: ")
    # A container's words, what comes as time goes by, and how many files the bundle has.
    if not line or " | " in line or line.startswith(("still waiting ", "loading ", "SHA256SUMS: ", "note: ")):
        continue
    line = re.sub(r"^bundle .*,", "bundle,", line)
    # On an engine that has them from another run they are verified.
    line = re.sub(r"^\S+\.tar\.zst(: its images are here already| loaded ).*", "images there", line)
    line = re.sub(r" \([\d.]+m?s\)$", "", line)
    line = re.sub(r'"elapsed_s":[\d.]+', '"elapsed_s":0', line)
    stage.append(line)
    if re.match(r"stage .* (done|failed)|STACK_", line):
        lines += sorted(stage[:-1]) + stage[-1:]
        stage = []
print("\n".join(lines + sorted(stage)))
