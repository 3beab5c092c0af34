"""The file that a worker's interpreter is started with: `python bootstrap.py LIBRARY_FOLDER [options of main]`.

It keeps standard output for frames, says in a frame what is wrong with the interpreter, and only then imports the
library. It must parse on any Python 3.6, so it uses nothing newer and no `annotations` import.
"""

import json
import os
import sys

OLDEST = (3, 10)
EXIT_UNUSABLE = 4


def take_standard_streams():  # type: ignore[no-untyped-def]
    """Make private copies of stdin and stdout; from here on fd 1 is stderr and fd 0 is empty.

    Prints of C libraries, and child processes that read or write their standard streams, then cannot touch frames.
    """
    if sys.platform == "win32":
        import msvcrt

        for number in (0, 1):
            msvcrt.setmode(number, os.O_BINARY)
    requests, events = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return requests, events


def refuse(events, message, cure, detail=""):  # type: ignore[no-untyped-def]
    """Write one error frame by hand, for interpreters that cannot import `frames`, and the exit status."""
    fields = {"kind": "error", "id": None, "code": "worker", "message": message, "cure": cure, "detail": detail}
    header = json.dumps(fields).encode("utf-8")
    os.write(events, len(header).to_bytes(4, "big") + header)
    return EXIT_UNUSABLE


def main(arguments):  # type: ignore[no-untyped-def]
    requests, events = take_standard_streams()
    here = ".".join(str(n) for n in sys.version_info[:3])
    if sys.version_info[:2] < OLDEST:
        return refuse(
            events,
            "The interpreter %s is Python %s, which is too old." % (sys.executable, here),  # noqa: UP031
            "Choose a Python of version 3.10 or later.",
        )
    # This file's folder would let our modules (`memory`, `protocol`, ...) hide others of the same name.
    sys.path[:1] = [arguments[0]]
    try:
        from MedSAMSegmentLib.worker.main import run
    except ImportError as error:
        return refuse(
            events,
            "The interpreter %s cannot load the library: %s." % (sys.executable, error),  # noqa: UP031
            "Install numpy (and torch) into it, or choose another interpreter.",
        )
    return run(requests, events, arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
