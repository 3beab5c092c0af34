"""The options of `medsam-segment challenge`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from .arguments import path

AddOptions = Callable[[argparse.ArgumentParser], None]


def add_challenge(commands: Any, add_compute_options: AddOptions, add_common: AddOptions) -> None:
    """Add the command and its actions; what they share with other commands is added by the functions given."""
    challenge = commands.add_parser("challenge", help="answer and score the cases of the CVPR challenges")
    actions = challenge.add_subparsers(dest="action", required=True, metavar="ACTION")
    predict = actions.add_parser("predict", help="answer every case of a folder")
    _add_year(predict, required=True)
    predict.add_argument(
        "-i", "--input", required=True, type=path, metavar="FOLDER", help="cases (.npz), or one of them"
    )
    predict.add_argument(
        "-o", "--output", required=True, type=path, metavar="FOLDER", help="for answers by their names"
    )
    _add_model(predict)
    _add_click_axes(predict)
    _add_overwrite(predict)
    add_compute_options(predict)

    evaluate = actions.add_parser("evaluate", help="score answers as the evaluators of the challenges do")
    _add_year(evaluate, required=False)
    evaluate.add_argument("-s", "--segs", required=True, type=path, metavar="FOLDER", help="answers")
    evaluate.add_argument(
        "-g", "--gts", required=True, type=path, metavar="FOLDER", help="references of the same names"
    )
    evaluate.add_argument("--csv", required=True, type=path, metavar="FILE", help="table, one row a case")
    evaluate.add_argument(
        "--images", type=path, metavar="FOLDER", help="cases with the spacing, where the references have none"
    )
    evaluate.add_argument("--no-nsd", action="store_true", help="DSC only, which is quick")
    evaluate.add_argument(
        "--missing", default="error", choices=("error", "zero"), help="a case without an answer; default: error"
    )
    _add_rules(evaluate)
    _add_overwrite(evaluate)
    add_common(evaluate)

    interactive = actions.add_parser("interactive", help="a box and five simulated clicks a class, with all scores")
    interactive.add_argument(
        "-i", "--cases", required=True, type=path, metavar="FOLDER", help="cases of 2025 (.npz), or one of them"
    )
    interactive.add_argument("-g", "--gts", type=path, metavar="FOLDER", help="references, where the cases have none")
    interactive.add_argument(
        "-o", "--output", required=True, type=path, metavar="FOLDER", help="for answers, metrics.csv and clicks.csv"
    )
    interactive.add_argument(
        "--keep-open", action="store_true", help="keep what was computed of the image from one step to the next"
    )
    interactive.set_defaults(year=25, click_axes="zyx")
    _add_model(interactive)
    _add_rules(interactive)
    _add_overwrite(interactive)
    add_compute_options(interactive)


def _add_year(parser: argparse.ArgumentParser, *, required: bool) -> None:
    default = "" if required else "; default: 24"
    parser.add_argument(
        "--year", type=int, choices=(24, 25), required=required, default=None if required else 24,
        help=f"24: boxes, on a laptop; 25: interactive, in 3D{default}",
    )  # fmt: skip


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="ID", help="default: that of --weights, or lite_medsam; see 'models list'")
    parser.add_argument("--weights", type=path, metavar="FILE", help="a checkpoint file")
    parser.add_argument("--strategy", default=None, help="how slices are linked; default: the model's best")
    parser.add_argument("--mode", default="default", choices=("default", "reference"), help="reference: as official")


def _add_click_axes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--click-axes", default="zyx", choices=("zyx", "xyz"),
        help="order of a click's indices in the files of 2025: as its evaluator writes them (default), or as it says",
    )  # fmt: skip


def _add_rules(parser: argparse.ArgumentParser) -> None:
    rules = parser.add_argument_group("rules of the scores; default: those of the published evaluator")
    rules.add_argument(
        "--classes", choices=("up-to-highest", "all-but-lowest", "all-but-zero"),
        help="labels that are averaged: 1 to the highest (2024), all of the reference but its lowest (2025), or all",
    )  # fmt: skip
    rules.add_argument(
        "--both-empty", choices=("nan", "one", "left-out"),
        help="a class that neither has: spoils the mean (published), counts as 1, or does not count",
    )  # fmt: skip
    rules.add_argument(
        "--spacing-order", choices=("stored", "axes"),
        help="x,y,z of the file: taken for z,y,x of the arrays (published), or put into their order",
    )  # fmt: skip
    rules.add_argument(
        "--nsd-always", action="store_true", help="also where DSC is not above 0.2, where NSD is 0 as published"
    )


def _add_overwrite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that are there already, unasked")
