"""What the peers in this folder say about what they see."""

import time


def check(what, good, seen=""):
    """One line; ends the peer with status 1 if it is not good."""
    print(("ok    " if good else "FAIL  ") + what + (f" ({seen})" if seen != "" else ""), flush=True)
    if not good:
        raise SystemExit(1)


def until(what, seconds, condition):
    """The first value of `condition` that counts as true; ends the peer if there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    check(what, False, f"not within {seconds} s")
