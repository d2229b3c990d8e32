#!/usr/bin/env python3
"""`make instructions`: user instructions per request against the stored figures (Benchmarks/instructions.json). Growth by
more than 3 % fails where CPU model and library versions are the stored ones; elsewhere it is only reported. `--renew`
stores what was measured, `--because TEXT` says in CHANGELOG.md why it has grown. On a busy machine fewer requests arrive
together, which costs each of them more: what seems to have grown is counted again, and the least counts."""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, ".ci"))

import counting  # noqa: E402
import hops  # noqa: E402
import peers  # noqa: E402
import scenarios  # noqa: E402
from processes import Failure  # noqa: E402
from stage import Stage  # noqa: E402

STORED = os.path.join(ROOT, "Benchmarks", "instructions.json")
CHANGELOG = os.path.join(ROOT, "CHANGELOG.md")
GROWTH_MAX = 1.03
COUNTS_MAX = 3
KEYS = ("S1 64", "S3 h1", "S3 h2", "S4 h2")
LIBRARIES = ("libc6", "libssl3", "libnghttp2-14", "valgrind")


def conditions():
    """What the figures depend on beside our own code."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        text = file.read()

    def field(name):
        found = re.search(rf"^{name}\s*:\s*(.*)$", text, re.MULTILINE)
        return found[1].strip() if found else "?"
    found = {"processor": f"{field('model name')}, family {field('cpu family')}, model {field('model')}"
             if field("model name") != "?" else platform.machine()}
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *LIBRARIES], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=False)
    found.update(line.split(" ", 1) for line in done.stdout.decode().splitlines())
    swift = re.search(r"Swift version (\S+)", peers.output_of(["swift", "--version"]))
    return {**found, "swift": swift[1] if swift else "?"}


def measure(binaries, before):
    stage = Stage(tempfile.mkdtemp(prefix="martlet-instructions-"), binaries, "")
    try:
        hops.make_certificates(stage.folder)
        counter = counting.Counter(stage, lambda cell: scenarios.hops_of(cell.shape, stage.origin))
        figures = {}
        for cell in scenarios.CELLS:
            if cell.key in KEYS:
                profile = counter.profile(peers.Martlet(binaries), cell)
                for _ in range(COUNTS_MAX - 1):
                    if not growth({cell.key: figure(profile)}, before):
                        break
                    profile = min(profile, counter.profile(peers.Martlet(binaries), cell), key=lambda one: one.total)
                figures[cell.key] = figure(profile)
                print(f"{cell.key}: {cell.title}: {figures[cell.key]['instructions']:,} instructions per request; calls: "
                      + (", ".join(f"{name} {count:.2f}" for name, count in profile.allocations.items()) or "no allocation"),
                      flush=True)
        return figures
    except BaseException:
        stage.processes.print_tails()
        raise
    finally:
        stage.close()


def figure(profile):
    return {"instructions": round(profile.total), **profile.allocations}


def stored():
    if not os.path.exists(STORED):
        return None
    with open(STORED, encoding="utf-8") as file:
        return json.load(file)


def growth(figures, before):
    """Key -> ratio, of those that have grown by more than is allowed."""
    known = before["figures"] if before else {}
    ratios = {key: one["instructions"] / known[key]["instructions"] for key, one in figures.items() if key in known}
    return {key: ratio for key, ratio in ratios.items() if ratio > GROWTH_MAX}


def store(figures, before, grown, because):
    if grown and not because:
        raise Failure("these have grown by more than 3 %: say why, with BECAUSE='…': it becomes a line of CHANGELOG.md")
    made = {"conditions": conditions(), "figures": figures}
    if grown:
        changes = ", ".join(
            f"{key} {before['figures'][key]['instructions']:,} → {figures[key]['instructions']:,}" for key in grown)
        made["because"] = f"- {because} (instructions per request: {changes})"
        add_to_changelog(made["because"])
    elif before and before.get("because"):
        made["because"] = before["because"]
    with open(STORED, "w", encoding="utf-8") as file:
        file.write(json.dumps(made, indent=1) + "\n")
    print(f"stored in {os.path.relpath(STORED, ROOT)}")


def add_to_changelog(line):
    with open(CHANGELOG, encoding="utf-8") as file:
        text = file.read()
    head, mark, rest = text.partition("## Unreleased\n")
    if not mark:
        raise Failure("CHANGELOG.md has no section 'Unreleased'")
    section, following, others = rest.partition("\n## ")
    if "### Changed\n" in section:
        section = section.replace("### Changed\n", f"### Changed\n{line}\n", 1)
    else:
        section = section.rstrip("\n") + f"\n\n### Changed\n{line}\n"
    with open(CHANGELOG, "w", encoding="utf-8") as file:
        file.write(head + mark + section + following + others)


def compare(figures, before, grown):
    """The exit status."""
    if before is None:
        print("no figures are stored: RENEW=1 stores these")
        return 0
    because = before.get("because")
    if because:
        with open(CHANGELOG, encoding="utf-8") as file:
            if because not in file.read():
                print(f"CHANGELOG.md lacks the line for which the figures were renewed:\n{because}", file=sys.stderr)
                return 1
    here = conditions()
    differs = {name: (before["conditions"].get(name), value) for name, value in here.items()
               if before["conditions"].get(name) != value}
    for key, one in figures.items():
        known = before["figures"].get(key)
        if known:
            print(f"{key}: {known['instructions']:,} were stored: {one['instructions'] / known['instructions'] - 1:+.1%}")
    for name, (then, now) in differs.items():
        print(f"reported only: {name} is {now}, and the stored figures are from {then}")
    if grown and not differs:
        print("grown by more than 3 %: " + ", ".join(grown) + "; make it cheaper, or RENEW=1 BECAUSE='…'", file=sys.stderr)
        return 1
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binaries", default=os.path.join(ROOT, ".build", "measured", "bin"))
    parser.add_argument("--renew", action="store_true")
    parser.add_argument("--because", default="")
    options = parser.parse_args()
    try:
        before = stored()
        figures = measure(os.path.abspath(options.binaries), before)
        grown = growth(figures, before)
        if options.renew:
            store(figures, before, grown, options.because)
            return 0
        return compare(figures, before, grown)
    except (Failure, peers.NotYet, OSError) as error:
        # A machine on which nothing can be counted says nothing about the code.
        print(f"instructions: not counted: {error}", file=sys.stderr)
        return 1 if options.renew else 0


if __name__ == "__main__":
    sys.exit(main())
