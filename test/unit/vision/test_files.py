# SPDX-License-Identifier: Apache-2.0
"""Movies and image sets from files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from vision_blobs import RATE_HZ, UM_PER_PX, WALL_BOTTOM, disc, flow_movie

from mimedi_nodes.commands import segment as segment_command
from mimedi_nodes.commands import track as track_command
from mimedi_nodes.vision.camera.settings import VisionInputError
from mimedi_nodes.vision.opencv import cv2
from mimedi_nodes.vision.recordings.files import read_movie, segment_file, track_movie, write_overlay, write_tracks

WALL = 8.0


def test_an_npz_movie_becomes_a_table_of_tracks(tmp_path: Path) -> None:
    truth = flow_movie(frames=40, cells_per_frame=10.0, seed=21)
    np.savez(tmp_path / "m.npz", movie=truth.movie, px_um=UM_PER_PX, wall=WALL, fps=RATE_HZ)
    movie = read_movie(tmp_path / "m.npz")
    assert movie.settings.wall_bottom_px == WALL_BOTTOM
    seen: list[tuple[int, int]] = []
    frames, report = track_movie(movie, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (40, 40)
    assert report.frames == 40
    assert report.p50_ms <= report.p99_ms
    write_tracks(frames, tmp_path / "tracks.csv")
    with (tmp_path / "tracks.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    distance = [np.nanmin(np.hypot(truth.x[int(r["frame"])] - float(r["x"]), truth.y[int(r["frame"])] - float(r["y"])))
                for r in rows if 20 < float(r["x"]) < 490]
    in_view = int(((truth.x > 20) & (truth.x < 490)).sum())
    assert len(distance) == pytest.approx(in_view, rel=0.03)
    assert np.median(distance) < 0.15
    assert len({r["id"] for r in rows}) == report.tracks


def test_the_last_look_at_a_cell_does_not_make_its_class(tmp_path: Path) -> None:
    """As it leaves, half of it is out of view, and what is seen may be a neighbour."""
    truth = flow_movie(frames=40, cells_per_frame=6.0, seed=23)
    movie = read_movie(_saved(tmp_path / "m.npz", truth.movie))
    frames, report = track_movie(movie)
    last = {cell.track_id: index for index, frame in enumerate(frames) for cell in frame.tracks if cell.measured}
    for index, frame in enumerate(frames):
        frame.tracks[:] = [cell._replace(cell_class=2 if index == last.get(cell.track_id) else 1)
                           for cell in frame.tracks]
    write_tracks(frames, tmp_path / "tracks.csv")
    with (tmp_path / "tracks.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len({row["id"] for row in rows}) == report.tracks > 5
    assert {row["cls"] for row in rows} == {"1"}


def _saved(path: Path, images: np.ndarray) -> Path:
    np.savez(path, movie=images, px_um=UM_PER_PX, wall=WALL, fps=RATE_HZ)
    return path


def test_a_folder_of_images_and_an_overlay_video(tmp_path: Path) -> None:
    truth = flow_movie(frames=6, cells_per_frame=6.0, seed=22)
    folder = tmp_path / "frames"
    folder.mkdir()
    for t, image in enumerate(truth.movie):
        cv2.imwrite(str(folder / f"{t:04d}.png"), image)
    movie = read_movie(folder, um_per_px=UM_PER_PX, wall_px=WALL)
    assert np.array_equal(movie.frames, truth.movie)
    frames, _ = track_movie(movie)
    write_overlay(movie, frames, tmp_path / "out.mp4")
    again = read_movie(tmp_path / "out.mp4", um_per_px=UM_PER_PX, wall_px=WALL)
    assert again.frames.shape == movie.frames.shape


@pytest.mark.parametrize(("arrays", "word"), [
    ({"picture": np.zeros((3, 64, 64), np.uint8)}, "movie"),
    ({"movie": np.zeros((64, 64), np.uint8), "px_um": 0.65}, "frames"),
    ({"movie": np.zeros((0, 64, 64), np.uint8), "px_um": 0.65}, "frames"),
    ({"movie": np.zeros((2, 64, 64), np.uint8), "px_um": 0.65}, "2 frames long; allowed: at least 3"),
    ({"movie": np.zeros((3, 64, 64)), "px_um": 0.65}, "encoding is float64"),
    ({"movie": np.array([None, 1], object), "px_um": 0.65}, "file"),
    ({"movie": np.zeros((3, 64, 64), np.uint8), "px_um": np.array([0.65, 0.65])}, "px_um"),
    ({"movie": np.zeros((3, 64, 64), np.uint8), "px_um": "x"}, "px_um"),
    ({"movie": np.zeros((3, 64, 64), np.uint8), "px_um": np.nan}, "um_per_px is nan"),
    ({"movie": np.zeros((3, 64, 64), np.uint8), "px_um": 0.65, "fps": 0.0}, "frame_rate_hz is 0.0"),
    ({"movie": np.zeros((3, 64, 64), np.uint8), "px_um": 0.65, "wall": np.nan}, "wall"),
    ({"movie": np.zeros((3, 64, 64), np.uint8), "px_um": 0.65, "fl": np.zeros((3, 3, 64, 64), np.uint8)}, "fl"),
    ({"movie": np.zeros((3, 64, 64), np.uint8), "px_um": 0.65, "fl": np.zeros((3, 2, 64, 64))}, "fl encoding"),
    ({"movie": np.zeros((3, 64, 64), np.uint8)}, "px_um"),
    ({"movie": np.zeros((3, 64, 64), np.uint8), "px_um": 0.65, "fl": np.zeros((2, 1, 64, 64), np.uint8)}, "fl"),
])
def test_a_wrong_movie_is_refused_by_name(tmp_path: Path, arrays: dict[str, object], word: str) -> None:
    np.savez(tmp_path / "m.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(VisionInputError, match=word):
        read_movie(tmp_path / "m.npz")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 cut off"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.npz"
    path.write_bytes(content)
    with pytest.raises(VisionInputError, match="an npz file of arrays"):
        read_movie(path)
    with pytest.raises(VisionInputError, match="an npz file of arrays"):
        segment_file(path, tmp_path / "cells.csv", tmp_path / "labels.npz")
    np.savez(path, movie=np.zeros((9, 64, 64), np.uint8), image=np.zeros((9, 64, 64), np.uint8))
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(VisionInputError, match="an npz file of arrays"):
        read_movie(path)


def test_unknown_files_and_missing_fluorescence_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VisionInputError, match="npz"):
        read_movie(tmp_path / "movie.txt")
    with pytest.raises(VisionInputError, match="folder"):
        read_movie(tmp_path)
    np.savez(tmp_path / "m.npz", movie=np.full((3, 64, 64), 100, np.uint8), px_um=0.65)
    with pytest.raises(VisionInputError, match="fl"):
        track_movie(read_movie(tmp_path / "m.npz"), with_fluorescence=True)


def test_segmented_discs_have_their_area(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, radius = [], 12.0
    for _ in range(9):
        x, y = rng.uniform(30, 170), rng.uniform(25, 55)
        image = 120.0 - 30.0 * disc((80, 200), x, y, radius, 0.8) + rng.normal(0, 1.0, (80, 200))
        images.append(np.clip(image, 0, 255).astype(np.uint8))
    np.savez(tmp_path / "i.npz", image=np.stack(images), px_um=0.34)
    count = segment_file(tmp_path / "i.npz", tmp_path / "cells.csv", tmp_path / "labels.npz")
    assert count == 9
    labels = np.load(tmp_path / "labels.npz")["labels"]
    assert labels.dtype == np.uint16
    with (tmp_path / "cells.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(r["frame"]) for r in rows] == list(range(9))
    # The hull runs through pixel centres, half a pixel inside; the outline at the noise lies 1 px outside the edge.
    for row in rows:
        assert float(row["area_um2"]) == pytest.approx(np.pi * radius**2 * 0.34**2, rel=0.15)
        assert float(row["deform"]) < 0.03
    np.savez(tmp_path / "bad.npz", image=np.stack(images))
    with pytest.raises(VisionInputError, match="px_um"):
        segment_file(tmp_path / "bad.npz", tmp_path / "cells.csv", tmp_path / "labels.npz")


def test_the_track_command_writes_tables_and_tells_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = flow_movie(frames=12, cells_per_frame=8.0, seed=41)
    np.savez(tmp_path / "m.npz", movie=truth.movie, px_um=UM_PER_PX, wall=WALL, fps=RATE_HZ)
    out = tmp_path / "tracks.csv"
    assert track_command.main([str(tmp_path / "m.npz"), "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["frames"] == 12
    assert told["p99_ms"] >= told["p50_ms"] > 0.0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["id"] for row in rows}) == told["tracks"] > 5


@pytest.mark.parametrize(("arguments", "word"), [
    (["gone.npz", "--out", "t.csv"], "gone.npz"), (["m.npz", "--out", "none/t.csv"], "none"),
    (["m.npz", "--out", "t.csv", "--fluorescence"], "fl is missing")])
def test_the_track_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                              monkeypatch: pytest.MonkeyPatch, arguments: list[str], word: str) -> None:
    monkeypatch.chdir(tmp_path)
    truth = flow_movie(frames=3, cells_per_frame=3.0, seed=42)
    np.savez("m.npz", movie=truth.movie, px_um=UM_PER_PX, wall=WALL)
    assert track_command.main(arguments) == 2
    assert word in capsys.readouterr().err


def test_the_segment_command_counts_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = np.full((9, 60, 80), 150, np.uint8)
    for k in range(9):
        cv2.circle(image[k], (15 + 5 * k, 30), 8, 90, -1)
    np.savez(tmp_path / "i.npz", image=image, px_um=0.5)
    arguments = [str(tmp_path / "i.npz"), "--out", str(tmp_path / "c.csv"), "--labels", str(tmp_path / "l.npz")]
    assert segment_command.main(arguments) == 0
    assert capsys.readouterr().out.startswith("9 cells")
    with np.load(tmp_path / "l.npz") as stored:
        assert (stored["labels"].max(axis=(1, 2)) == 1).all()
    assert segment_command.main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"cells": 9, "table": arguments[2], "labels": arguments[4]}
    assert segment_command.main([str(tmp_path), *arguments[1:]]) == 2
