"""The command line `medsam-segment`: parser, dispatch, exit codes.

Exit codes: 0 done, 1 unexpected, 2 usage, 3 input or output, 4 model, 5 cancelled, 141 when whoever read the output is
gone. An error is one line; `--debug` shows the trace.
Commands are imported when they run, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from .commands.arguments import AppendPrompt, Parser, coordinates, count, frame, minutes, path, shard, tries
from .commands.challenge_options import add_challenge
from .errors import Cancelled, InputError, MedSAMError, OutputError
from .io.atomic import record_written_files
from .registry import entries
from .threads import set_passive_wait_policy
from .version import __version__

AXES = ("k", "j", "i", "z", "y", "x", "time")
BROKEN_PIPE = 141
"""What a shell reports of other programs that end so."""


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="medsam-segment", description="Segment medical images in 3D from a box, with the MedSAM family of models."
    )
    parser.add_argument("--version", action="version", version=f"medsam-segment {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_cohort(commands)
    _add_train(commands)
    _add_models(commands)
    _add_demo(commands)
    _add_info(commands)
    _add_serve(commands)
    _add_view(commands)
    _add_gui(commands)
    add_challenge(commands, _add_compute_options, _add_common)
    return parser


def _add_run(commands: Any) -> None:
    run = commands.add_parser("run", help="segment an image from prompts")
    run.add_argument(
        "image", nargs="+", type=path,
        help="NIfTI, NRRD, MHA, DICOM folder or file, PNG, JPEG, TIFF, frame folder, challenge .npz; several are "
        "segmented one after the other from the same prompts",
    )  # fmt: skip
    _add_image_options(run)
    prompt = run.add_argument_group(
        "prompts, in voxels: x y on a two-dimensional image, else i j k (columns, rows, slices; the first is 0)",
        "A box, line, mask or ROI begins an object. A point belongs to the object before it; points that come first "
        "belong to the first object.",
    )
    prompt.set_defaults(prompts=[])
    for option, kind, counts, names, text in (
        ("--box", "box", (4, 6), "X0 Y0 X1 Y1 | I0 J0 K0 I1 J1 K1", "box between two corners, both included"),
        ("--box-mm", "box-mm", (6,), "X0 Y0 Z0 X1 Y1 Z1", "box between two corners in mm, in the --space given"),
        ("--point", "point", (2, 3), "X Y | I J K", "a voxel of the object"),
        ("--negative-point", "negative-point", (2, 3), "X Y | I J K", "a voxel that is not part of the object"),
        ("--line", "line", (4, 6), "X0 Y0 X1 Y1 | I0 J0 K0 I1 J1 K1", "RECIST diameter: its two ends on one slice"),
    ):
        prompt.add_argument(
            option,
            action=AppendPrompt,
            const=kind,
            type=coordinates(*counts),
            metavar=names,
            help=text + "; repeatable",
        )
    prompt.add_argument(
        "--space", choices=("LPS", "RAS"), help="of --box-mm: LPS as in DICOM and ITK, RAS as in Slicer"
    )
    prompt.add_argument(
        "--roi", action=AppendPrompt, const="markups", type=path, metavar="FILE.mrk.json",
        help="Slicer markups: ROI, points, line",
    )  # fmt: skip
    for option, kind, text in (
        ("--mask", "mask", "segmentation whose slice outlines the object"),
        ("--line-mask", "line-mask", "segmentation whose slice holds a painted RECIST diameter"),
        (
            "--correct",
            "correction",
            "segmentation whose slice corrects the object before; it stays as it is there",
        ),
    ):
        prompt.add_argument(
            option, action=AppendPrompt, const=kind, nargs=2, type=path, metavar=("FILE", "SLICE"), help=text
        )
    prompt.add_argument(
        "--line-as", default="box", choices=("box", "centre", "three", "grid"),
        help="what stands for a line: the square around it, its middle, middle and ends, or 3x3 points; default: box",
    )  # fmt: skip
    prompt.add_argument(
        "--frame", type=frame, metavar="N", help="--axis time: the boxes' frame; else a frame of a 4D image, or 'all'"
    )
    run.add_argument("--name", action="append", default=[], help="name of an object, in the order of the prompts")
    run.add_argument(
        "--terminology", action="append", default=[], help="SCT code of an object, as SCT:CODE:MEANING; in order"
    )
    _add_model_options(run)
    run.add_argument("--axis", default="k", choices=AXES, help="slices run along this axis; default: k")
    run.add_argument("--range", nargs=2, type=int, metavar=("FIRST", "LAST"), help="slices to segment")
    run.add_argument("--direction", default="both", choices=("both", "up", "down"))
    _add_propagation_options(run)
    run.add_argument(
        "--reading", type=_reading, default=1, metavar="1|2",
        help="2: the other thing that a box may mean, where the run said that there are two; default: 1",
    )  # fmt: skip
    _add_result_options(run)
    run.add_argument(
        "-o", "--output", type=path, metavar="FILE",
        help=".seg.nrrd, .nii.gz, .nrrd, .mha, .npz; of a DICOM image .dcm, of a two-dimensional one .png or .tif. "
        "With several images the name of each goes where {name} stands, or before the suffix",
    )  # fmt: skip
    run.add_argument(
        "--dicom-type", choices=("seg", "rtstruct"),
        help="of -o FILE.dcm: a segmentation (default; needs the extra 'dicom') or contours for radiotherapy",
    )  # fmt: skip
    run.add_argument("--overlay", type=path, metavar="FILE.png", help="picture of the result on chosen slices")
    run.add_argument(
        "--report", type=path, metavar="FILE.json", help="inputs, model, versions, volumes, diameters, scores"
    )
    _add_overwrite(run)
    _add_compute_options(run)


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="ID", help="default: that of --weights, or lite_medsam; see 'models list'")
    parser.add_argument(
        "--weights", type=path, metavar="FILE", help="a checkpoint file; without --model it is recognised"
    )
    parser.add_argument("--window", default="auto", help="auto, a preset (ct-lung, mr, ...) or LEVEL/WIDTH")


def _add_propagation_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stop", action="store_true", help="end by itself where the object seems to end")
    parser.add_argument("--strategy", default=None, help="how slices are linked; default: the model's best")


def _add_result_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--largest-component", action="store_true", help="keep the largest connected part of each object"
    )
    parser.add_argument("--keep-speckle", action="store_true", help="keep small parts beside the largest of a slice")
    parser.add_argument("--fill-holes", action="store_true", help="fill enclosed holes, slice by slice")
    parser.add_argument("--mode", default="default", choices=("default", "reference"), help="reference: as official")


def _add_image_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--series", metavar="NUMBER|UID", help="which series of a DICOM folder; default: the largest; see 'info FOLDER'"
    )
    parser.add_argument(
        "--spacing", nargs=3, type=float, metavar=("X", "Y", "Z"), help="voxel size in mm, in place of the file's own"
    )


def _add_overwrite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that are there already, unasked")


def _reading(text: str) -> int:
    if text not in ("1", "2"):
        raise argparse.ArgumentTypeError(
            f"there is no reading {text!r}: use 1, or 2 for the other thing a box may mean"
        )
    return int(text)


def _add_compute_options(parser: argparse.ArgumentParser, engine_option: str = "--engine") -> None:
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument(
        "--precision",
        default="auto",
        choices=("auto", "float32", "bfloat16"),
        help="auto: bfloat16 where that is faster and keeps the masks, else float32",
    )
    parser.add_argument(
        engine_option,
        dest="engine",
        default="auto",
        choices=("auto", "torch", "openvino"),
        help="what runs the networks' costly parts",
    )
    parser.add_argument("--offline", action="store_true", help="never download weights")
    _add_common(parser)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    parser.add_argument("--debug", action="store_true", help="show the trace of an error")


def _add_cohort(commands: Any) -> None:
    cohort = commands.add_parser("cohort", help="segment many images from a manifest, and go on after any stop")
    actions = cohort.add_subparsers(dest="action", metavar="ACTION", required=True)
    prepare = actions.add_parser("prepare", help="make a manifest of a folder of images with markups or masks beside")
    prepare.add_argument("folder", type=path, metavar="FOLDER")
    prepare.add_argument(
        "-o", "--output", type=path, metavar="FILE", help="the manifest; default: manifest.csv in the folder"
    )
    _add_overwrite(prepare)
    _add_common(prepare)
    running = actions.add_parser("run", help="segment all cases; those that are done already are left as they are")
    running.add_argument("manifest", type=path, metavar="MANIFEST", help="CSV or JSONL, one object a row; cohorts.md")
    running.add_argument("-o", "--output", type=path, metavar="OUT", required=True, help="the cohort's folder")
    running.add_argument(
        "--workers", type=count, default=1, metavar="N", help="processes, each with a model; default: 1"
    )
    running.add_argument(
        "--engine",
        dest="cohort_engine",
        default="local",
        choices=("local", "ray"),
        help="processes of this machine, or actors of Ray on many; the extra 'ray' installs it",
    )
    running.add_argument(
        "--ray-address", metavar="A", help="of a cluster that runs; default: one on this machine alone"
    )
    running.add_argument(
        "--shard", type=shard, default=(1, 1), metavar="I/N", help="do every N-th case, from the I-th, here"
    )
    running.add_argument("--retries", type=tries, default=2, metavar="N", help="after a process was killed; default: 2")
    running.add_argument("--retry-failed", action="store_true", help="try cases again that failed in an earlier call")
    running.add_argument(
        "--case-minutes", type=minutes, default=30.0, metavar="N", help="a case is stopped then; default: 30"
    )
    running.add_argument("--dry-run", action="store_true", help="check the manifest and say what is left to do")
    running.add_argument(
        "--overwrite",
        action="store_true",
        help="replace also files that are not the cohort's own, and results that were changed since",
    )
    _add_model_options(running)
    _add_propagation_options(running)
    _add_result_options(running)
    _add_compute_options(running, "--network-engine")
    status = actions.add_parser("status", help="how many cases are done, failed, running and left")
    status.add_argument("folder", type=path, metavar="OUT")
    status.add_argument("--watch", action="store_true", help="again and again, until none is left")
    _add_common(status)
    summary = actions.add_parser("summary", help="write summary.csv and summary.html, a page with pictures")
    summary.add_argument("folder", type=path, metavar="OUT")
    _add_overwrite(summary)
    _add_common(summary)


def _add_models(commands: Any) -> None:
    models = commands.add_parser("models", help="list, fetch, import, remove and verify weights")
    actions = models.add_subparsers(dest="action", metavar="ACTION")
    listing = actions.add_parser("list", help="the models and their state (default)")
    listing.add_argument("--json", action="store_true", help="as JSON")
    _add_common(listing)
    known = ", ".join(entry.id for entry in entries())
    for name, text in (("pull", "fetch weights"), ("verify", "hash the file again"), ("remove", "delete the file")):
        action = actions.add_parser(name, help=text)
        own = "" if name == "pull" else ", or one of your own"
        action.add_argument("model", metavar="ID", help=known + own)
        _add_common(action)
    importing = actions.add_parser(
        "import", help="take a file of weights from disk, a published one or your own; its network is recognised"
    )
    importing.add_argument("model", metavar="ID", nargs="?", help=f"the model that the file must be: {known}")
    importing.add_argument("file", metavar="FILE", type=path)
    _add_common(importing)
    _add_common(models)


def _add_train(commands: Any) -> None:
    train = commands.add_parser("train", help="fine-tune a model on your own segments")
    train.add_argument(
        "--data", type=path, metavar="MANIFEST|FOLDER", required=True,
        help="images and their segmentations; fine_tuning.md",
    )  # fmt: skip
    train.add_argument(
        "--label", action="append", metavar="NAME", required=True,
        help="the segment to learn; of a label map also its number; repeated, all of them are one object",
    )  # fmt: skip
    train.add_argument("--model", default="lite_medsam", metavar="ID", help="to begin with; default: lite_medsam")
    train.add_argument(
        "-o", "--output", type=path, metavar="OWN.safetensors", required=True,
        help="the weights; a card, a table and a picture of the curves come beside",
    )  # fmt: skip
    train.add_argument(
        "--val-fraction", type=_fraction, metavar="F",
        help="part of the patients that is not trained on but tested with; default: 0.2",
    )  # fmt: skip
    train.add_argument("--val", type=path, metavar="MANIFEST|FOLDER", help="patients to test with, in place of a part")
    train.add_argument("--steps", type=count, default=100, metavar="N", help="of four prompts each; default: 100")
    train.add_argument(
        "--slices", type=count, default=120, metavar="N", help="to train on at most, of all patients; default: 120"
    )
    train.add_argument("--seed", type=tries, default=0, metavar="N", help="of all chance; default: 0")
    train.add_argument(
        "--encoder", default="frozen", choices=("frozen", "lora"),
        help="frozen: slices are encoded once; lora: the encoder learns a little, too, at many times the cost",
    )  # fmt: skip
    train.add_argument(
        "--rehearsal", type=_weight, default=1.0, metavar="W",
        help="how firmly it is held to what it knew, from 0; less learns more and forgets more; default: 1",
    )  # fmt: skip
    train.add_argument("--resume", action="store_true", help="go on with a training that was stopped")
    train.add_argument(
        "--tensorboard", type=path, metavar="FOLDER", help="also write the curves there; the extra 'tensorboard'"
    )
    train.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    train.add_argument(
        "--engine", default="auto", choices=("auto", "torch", "openvino"), help="what encodes the slices once"
    )
    train.add_argument("--offline", action="store_true", help="never download weights")
    _add_overwrite(train)
    _add_common(train)


def _weight(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no weight from 0 to 100")
    return found


def _fraction(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no part from 0 to less than 1")
    return found


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser("demo", help="segment three organs of a real chest CT")
    demo.add_argument("--output", default="demo", type=path, metavar="FOLDER", help="default: demo")
    demo.add_argument(
        "--organ", action="append", default=[], metavar="NAME", help="this one alone; again for another (default: all)"
    )
    demo.add_argument("--strategy", default=None)
    _add_overwrite(demo)
    _add_compute_options(demo)


def _add_info(commands: Any) -> None:
    info = commands.add_parser("info", help="what an image is and which window 'auto' would choose")
    info.add_argument("image", type=path, help="a file or folder; of a DICOM folder the series are listed, too")
    _add_image_options(info)
    info.add_argument("--json", action="store_true", help="as JSON")
    _add_common(info)


def _add_serve(commands: Any) -> None:
    serve = commands.add_parser("serve", help="answer over HTTP on this machine, or on the network with TLS")
    serve.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; default: 127.0.0.1, this machine alone"
    )
    serve.add_argument("--port", type=int, default=8000, help="0 takes a free one; default: 8000")
    serve.add_argument(
        "--token-file", type=path, metavar="FILE",
        help="the token that clients send; default: that of MEDSAM_SERVICE_TOKEN, or a new one at each start",
    )  # fmt: skip
    serve.add_argument("--tls-cert", type=path, metavar="FILE", help="certificate, for another host than this machine")
    serve.add_argument("--tls-key", type=path, metavar="FILE", help="its private key")
    serve.add_argument("--behind-proxy", action="store_true", help="a proxy before it does the encryption")
    serve.add_argument(
        "--trusted-host", action="append", default=[], metavar="NAME", help="a name that clients call it by; repeatable"
    )
    serve.add_argument("--model", default="lite_medsam", metavar="ID", help="where a request names none")
    serve.add_argument("--max-upload", type=int, default=1000, metavar="MB", help="of one image; default: 1000")
    serve.add_argument("--max-sessions", type=int, default=16, metavar="N", help="images at a time; default: 16")
    serve.add_argument("--max-queue", type=int, default=16, metavar="N", help="requests that wait; default: 16")
    serve.add_argument(
        "--max-workers", type=int, default=4, metavar="N",
        help="3D Slicers on other machines that compute here at a time, each in a process of its own; default: 4",
    )  # fmt: skip
    serve.add_argument(
        "--idle-minutes", type=float, default=60.0, metavar="N", help="an unused image is deleted then; default: 60"
    )
    serve.add_argument("--gradio", action="store_true", help="also serve a page made with Gradio, under /gradio/")
    _add_compute_options(serve)


def _add_view(commands: Any) -> None:
    view = commands.add_parser("view", help="look at an image and segment it in the browser, on this machine alone")
    view.add_argument("image", nargs="?", type=path, help="what 'run' takes; without it the page asks for one")
    _add_image_options(view)
    view.add_argument("--frame", type=int, default=0, metavar="N", help="of a 4D image; the first is 0")
    view.add_argument("--port", type=int, default=0, help="default: a free one")
    view.add_argument("--no-browser", action="store_true", help="print the address and open nothing")
    view.add_argument("--model", default="lite_medsam", metavar="ID", help="default: lite_medsam; see 'models list'")
    _add_compute_options(view)


def _add_gui(commands: Any) -> None:
    gui = commands.add_parser("gui", help="look at an image and segment it in napari")
    gui.add_argument("image", nargs="?", type=path, help="what 'run' takes; without it napari opens empty")
    _add_image_options(gui)
    gui.add_argument("--model", default="lite_medsam", metavar="ID", help="default: lite_medsam; see 'models list'")
    _add_compute_options(gui)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    set_passive_wait_policy(os.environ)
    for stream in (sys.stdout, sys.stderr):
        # A file name in an alphabet that the terminal lacks must not end the work.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    with record_written_files() as written:
        options = argparse.Namespace(command="", debug=False)
        try:
            build_parser().parse_args(sys.argv[1:] if arguments is None else arguments, options)
            import_module(f"{__package__}.commands.{options.command}").run(options)
            sys.stdout.flush()
        except (KeyboardInterrupt, Cancelled):
            return _say(_cancelled(options.command, written), Cancelled.exit_code)
        except BrokenPipeError:
            return _leave_stdout(BROKEN_PIPE)
        except Exception as error:  # noqa: BLE001 - the one place where every failure becomes a sentence
            return _failed(error, options.debug)
    return 0


def _failed(error: Exception, debug: bool) -> int:
    """Say what went wrong, and how to learn more; return the exit code."""
    if debug:
        traceback.print_exc()
        if isinstance(error, MedSAMError) and error.detail:
            print(error.detail, file=sys.stderr)
    if isinstance(error, MedSAMError):
        return _say(str(error), error.exit_code)
    if isinstance(error, OSError):
        try:
            sys.stdout.flush()
        except OSError:
            # What could not be printed is still waiting, and would fail once more at the end.
            _leave_stdout(OutputError.exit_code)
        subject = f"{error.filename}: " if error.filename else ""
        return _say(f"{subject}{error.strerror or type(error).__name__}.", OutputError.exit_code)
    if isinstance(error, MemoryError):
        return _say("The memory is not enough. Crop the image, or give a smaller --range.", InputError.exit_code)
    cure = "" if debug else "; run again with --debug for the trace"
    return _say(f"unexpected {type(error).__name__}: {error}{cure}", MedSAMError.exit_code)


def _cancelled(command: str, written: Sequence[Path]) -> str:
    if command == "train":
        return "cancelled; what was computed is kept, and the same command with --resume goes on from there."
    if command == "cohort":
        return "cancelled; what is done stays done, and the same command goes on from there."
    if written:
        return f"cancelled; already written: {', '.join(map(str, written))}."
    # Weights that were fetched in part are kept, and the rest is fetched next time.
    return "cancelled." if command == "models" else "cancelled; nothing was written."


def _say(text: str, exit_code: int) -> int:
    with contextlib.suppress(OSError):
        print(f"medsam-segment: {' '.join(text.split())}", file=sys.stderr, flush=True)
    return exit_code


def _leave_stdout(exit_code: int) -> int:
    """Send what is still to be printed nowhere, so that the interpreter does not complain of it at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    return exit_code
