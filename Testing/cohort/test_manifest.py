"""Manifests: CSV and JSON lines say the same, and a wrong row is named with its line."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from cohort_support import BOX, write_image, write_manifest

from MedSAMSegmentLib.cohort.cases import Case, CaseObject
from MedSAMSegmentLib.cohort.manifest import read_manifest
from MedSAMSegmentLib.errors import InputError
from MedSAMSegmentLib.runs.inputs import read_inputs
from MedSAMSegmentLib.runs.options import RunOptions

HEAD = "id,image,box,name,points\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        write_image(tmp_path / f"{name}.nrrd", 1)
    return tmp_path


def test_rows_of_one_id_are_objects_of_one_case(folder: Path) -> None:
    rows = [
        {"id": "a", "image": "a.nrrd", "box": BOX, "name": "one"},
        {"id": "b", "image": "b.nrrd", "points": "1 2 0; - 5 6 0", "window": "mr", "output": "deep/b.nii.gz"},
        {"id": "a", "line": "20 24 1 44 24 1", "name": "two"},
    ]
    first, second = read_manifest(write_manifest(folder / "m.csv", rows))
    assert first == Case(
        "a",
        "a.nrrd",
        "segmentations/a.seg.nrrd",
        (
            CaseObject((("box", [14, 10, 0, 50, 38, 2]),), "one"),
            CaseObject((("line", [20, 24, 1, 44, 24, 1]),), "two"),
        ),
    )
    assert second.objects == (CaseObject((("point", [1, 2, 0]), ("negative-point", [5, 6, 0]))),)
    assert (second.window, second.output) == ("mr", "deep/b.nii.gz")


def test_json_lines_say_the_same_with_lists_of_numbers(folder: Path) -> None:
    rows = [
        {"id": "a", "image": "a.nrrd", "box": [14, 10, 0, 50, 38, 2], "points": [[1, 2, 0], ["-", 5, 6, 0]]},
        {"id": "b", "image": "b.nrrd", "box": "1 2 0 5 6 0", "name": None},
    ]
    (folder / "m.jsonl").write_text("\n\n".join(map(json.dumps, rows)), encoding="utf-8")
    as_csv = [
        {"id": "a", "image": "a.nrrd", "box": BOX, "points": "1 2 0; - 5 6 0"},
        {"id": "b", "image": "b.nrrd", "box": "1,2,0,5,6,0"},
    ]
    assert read_manifest(folder / "m.jsonl") == read_manifest(write_manifest(folder / "m.csv", as_csv))


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_tables_of_other_spreadsheets_are_read(folder: Path, delimiter: str) -> None:
    lines = (("id", "image", "box"), ("a", "a.nrrd", BOX))
    text = "\r\n".join(delimiter.join(line) for line in lines)
    (folder / "m.csv").write_text(text, encoding="utf-8-sig", newline="")
    assert read_manifest(folder / "m.csv")[0].id == "a"


def test_a_case_survives_json_and_becomes_a_run(folder: Path) -> None:
    rows = [
        {"id": "a", "image": "a.nrrd", "box": BOX, "points": "30 20 1"},
        {"id": "a", "points": "10 10 2", "name": "second"},
    ]
    (case,) = read_manifest(write_manifest(folder / "m.csv", rows))
    assert Case.of(json.loads(json.dumps(asdict(case)))) == case
    inputs = read_inputs(case.options(folder, RunOptions("", window="mr")))
    assert [len(prompts) for prompts in inputs.objects] == [2, 1], "the second row's point is an object of its own"
    assert list(inputs.names) == ["Segment_1", "second"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,image,boxs\n", "line 1: there is no column 'boxs'. Did you mean box?"),
        ("id,box\n", "line 1: the columns id and image are needed"),
        ("id,image,box,box\n", "line 1: the column box is there twice"),
        (HEAD, "has no rows"),
        (HEAD + "a,a.nrrd,1 2 0 9 9 0,,\n,a.nrrd,1 2 0 9 9 0,,\n", "line 3: the id is missing"),
        (HEAD + "../a,a.nrrd,1 2 0 9 9 0,,\n", "line 2: '../a' is no id"),
        (HEAD + "a,c.nrrd,1 2 0 9 9 0,,\n", "c.nrrd does not exist"),
        (HEAD + "a,,1 2 0 9 9 0,,\n", "line 2: the image is missing"),
        (HEAD + "a,a.nrrd,1 2 3,,\n", "line 2: box '1 2 3' is not 4 or 6 numbers"),
        (HEAD + "a,a.nrrd,1 2 0 nan 9 0,,\n", "line 2: box '1 2 0 nan 9 0' is not"),
        (HEAD + "a,a.nrrd,,,\n", "line 2: there is no prompt"),
        (HEAD + "a,a.nrrd,1,2,0,9,9,0\n", "line 2: 8 cells for 5 columns"),
        (HEAD + "a,a.nrrd,1 2 0 9 9 0,,\na,b.nrrd,1 2 0 9 9 0,,\n", "line 3: the image of a was 'a.nrrd' before"),
        (HEAD + "a,a.nrrd,1 2 0 9 9 0,,\nA,b.nrrd,1 2 0 9 9 0,,\n", "line 3: A and a differ in upper and lower case"),
        ("id,image,mask\na,a.nrrd,b.nrrd\n", "line 2: the mask 'b.nrrd' names no slice"),
        ("id,image,roi\na,a.nrrd,r.mrk.json\n", "r.mrk.json does not exist"),
        ("id,image,box,model\na,a.nrrd,1 2 0 9 9 0,lite\n", "line 2: "),
        ("id,image,box,window\na,a.nrrd,1 2 0 9 9 0,ct-lungs\n", "line 2: "),
        ("id,image,box,axis\na,a.nrrd,1 2 0 9 9 0,w\n", "line 2: "),
        ("id,image,box,output\na,a.nrrd,1 2 0 9 9 0,../a.nrrd\n", "line 2: the output ../a.nrrd is not below"),
        ("id,image,box,output\na,a.nrrd,1 2 0 9 9 0,a.txt\n", "line 2: a.txt is of a kind that cannot be written"),
        ("id,image,box,output\na,a.nrrd,1 2 0 9 9 0,sidecars/a.nrrd\n", "line 2: the folder sidecars is the cohort's"),
        (
            "id,image,box,output\na,a.nrrd,1 2 0 9 9 0,x.nrrd\nb,b.nrrd,1 2 0 9 9 0,X.nrrd\n",
            "line 3: b and a would both write",
        ),
    ],
)
def test_a_wrong_row_is_named_with_its_line(folder: Path, text: str, said: str) -> None:
    (folder / "m.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_manifest(folder / "m.csv")
    assert said in str(error.value)
    assert "m.csv" in str(error.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [('{"id": "a"', "not JSON"), ('["a"]', "not an object"), ('{"id": "a", "bocks": 1}', "no field 'bocks'")],
)
def test_a_wrong_line_of_json_is_named(folder: Path, line: str, said: str) -> None:
    good = json.dumps({"id": "a", "image": "a.nrrd", "box": BOX})
    (folder / "m.jsonl").write_text(f"{good}\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=f"line 2: .*{said}"):
        read_manifest(folder / "m.jsonl")


def test_all_wrong_rows_are_counted(folder: Path) -> None:
    rows = "".join(f"c{number},none.nrrd,1 2 0 9 9 0,,\n" for number in range(9))
    (folder / "m.csv").write_text(HEAD + rows, encoding="utf-8")
    with pytest.raises(InputError, match=r"line 2: .*; line 6: .*; and 4 more\.") as error:
        read_manifest(folder / "m.csv")
    assert "line 7" not in str(error.value)


def test_a_manifest_that_is_not_text_is_refused(folder: Path) -> None:
    (folder / "m.csv").write_bytes(b"id,image\n\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        read_manifest(folder / "m.csv")
