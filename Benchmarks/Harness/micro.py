#!/usr/bin/env python3
"""`make micro`: builds Benchmarks/Micro; prints the times, and writes instructions and allocations to Benchmarks/MICRO.md."""

import argparse
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, ".ci"))

import counting  # noqa: E402
import report  # noqa: E402

FOLDER = os.path.join(ROOT, "Benchmarks", "Micro")
SCRATCH = os.path.join(ROOT, ".build", "micro")
PARTS = "HTTP1Codec,HTTP2Codec,Reactor,TrafficPolicy"
FIRST, TIMES = 50, 1000


def swift(*words, **more):
    return subprocess.run(
        ["swift", *words[:1], "--package-path", FOLDER, "--scratch-path", SCRATCH, *words[1:]], check=False,
        env={**os.environ, "MARTLET_TARGETS": PARTS}, **more)


def names(binary):
    done = subprocess.run([binary], stdout=subprocess.PIPE, check=True)
    return done.stdout.decode().splitlines()


def counted(binary, name, times, folder):
    profile = os.path.join(folder, f"{times}.profile")
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}", "--log-file=/dev/null", binary, name, str(times)],
        stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise SystemExit(f"micro: {name}: {done.stderr.decode()[-300:]}")
    return counting.Profile.read(profile)


def count_all(binary, pattern):
    rows = []
    with tempfile.TemporaryDirectory(prefix="martlet-micro-") as folder:
        for name in names(binary):
            if pattern and not re.search(pattern, name):
                continue
            # The first times make what grows grow.
            profile = counted(binary, name, TIMES + FIRST, folder)
            profile.add(counted(binary, name, FIRST, folder), -1)
            profile.per_request(TIMES)
            calls = profile.allocations
            rows.append([name, f"{profile.total:,.0f}", f"{calls.get('malloc', 0):.2f}", f"{calls.get('swift_allocObject', 0):.2f}"])
            print("  ".join([rows[-1][0].ljust(55), *(word.rjust(10) for word in rows[-1][1:])]), flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--filter", default="", help="a regular expression over the names")
    parser.add_argument("--no-times", action="store_true")
    options = parser.parse_args()
    # With the runtime inside, and without what the compiler says of its code for debuggers: valgrind gives up over that.
    if swift("build", "-c", "release", "--static-swift-stdlib", "-Xlinker", "--strip-debug", "--product", "Count").returncode != 0:
        return 1
    binary = os.path.join(SCRATCH, "release", "Count")
    if not options.no_times:
        words = ["--filter", f".*{options.filter}.*"] if options.filter else []
        swift("package", "benchmark", "--no-progress", *words)
    print("instructions, calls of malloc and of swift_allocObject, for each time:")
    rows = count_all(binary, options.filter)
    if not options.filter:
        text = "\n".join([
            "# What the parts of a request cost", "", "`make micro` writes this page: user instructions under callgrind, and "
            f"allocations, for each time. {report.machine()}.", "",
            report.markdown_table(["", "instructions", "`malloc`", "`swift_allocObject`"], ["---", "---:", "---:", "---:"], rows), ""])
        report.write(os.path.join(ROOT, "Benchmarks", "MICRO.md"), text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
