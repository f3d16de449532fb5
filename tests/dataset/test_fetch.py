"""Files fetched from a real server on this machine, which fails as servers do."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gemmi
import pytest

from edseg_engine.cli import main
from edseg_engine.dataset.experimental import ExperimentalCrystal, read_index
from edseg_engine.dataset.fetch import checked_names
from edseg_engine.errors import DownloadError, OptionError, OutputError, TrainingDataError
from edseg_engine.io import download as downloads
from edseg_engine.io.download import TRIES, download
from edseg_engine.networks.weights import CHECKSUMS
from places import MODEL, MTZ

CONTENT = b"reflections" * 30_000


@dataclass
class Server:
    """What is served: files by path, and what goes wrong with them at first, in order."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(downloads, "PAUSE", 0.001)
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests[self.path] += 1
            fault = (state.faults.get(self.path) or [""]).pop(0)
            body = state.files.get(self.path)
            if fault.isdigit() or body is None:
                self.send_error(int(fault or 404))
                return
            if fault == "closed":
                self.connection.close()
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if fault == "truncated":
                body = body[: len(body) // 2]
            if fault == "altered":
                body = bytes([body[0] ^ 1]) + body[1:]
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    state.url = f"http://127.0.0.1:{httpd.server_port}"
    yield state
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.mark.parametrize("fault", ["503", "429", "500", "truncated", "closed", "altered"])
def test_what_fails_twice_is_fetched_the_third_time(server: Server, tmp_path: Path, fault: str) -> None:
    server.files["/a.mtz"], server.faults["/a.mtz"] = CONTENT, [fault, fault, "", ""]
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    assert download(f"{server.url}/a.mtz", tmp_path / "a.mtz", sha256=sha256.upper()) == sha256
    assert (tmp_path / "a.mtz").read_bytes() == CONTENT
    assert server.requests["/a.mtz"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.mtz"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("truncated", f"broke off after {len(CONTENT) // 2} of {len(CONTENT)} bytes"),
        ("altered", "instead of"),
        ("503", "answered 503"),
        ("closed", "connection"),
    ],
)
def test_what_always_fails_leaves_the_older_file(server: Server, tmp_path: Path, fault: str, said: str) -> None:
    server.files["/a.mtz"], server.faults["/a.mtz"] = CONTENT, [fault] * 20
    (tmp_path / "a.mtz").write_bytes(b"older")
    with pytest.raises(DownloadError, match=said) as error:
        download(f"{server.url}/a.mtz", tmp_path / "a.mtz", sha256=hashlib.sha256(CONTENT).hexdigest())
    assert f"tried {TRIES} times" in str(error.value)
    assert server.requests["/a.mtz"] == TRIES
    assert (tmp_path / "a.mtz").read_bytes() == b"older"
    assert [path.name for path in tmp_path.iterdir()] == ["a.mtz"]


def test_what_is_not_there_is_asked_for_once(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="is not there: the server answered 404"):
        download(f"{server.url}/none.mtz", tmp_path / "a.mtz")
    assert server.requests["/none.mtz"] == 1
    with pytest.raises(DownloadError, match="must begin with https"):
        download((tmp_path / "a.mtz").as_uri(), tmp_path / "b.mtz")
    with pytest.raises(DownloadError, match="no connection"):
        download("http://127.0.0.1:9/a", tmp_path / "a.mtz")
    assert not list(tmp_path.iterdir())


def serve_crystal(server: Server, name: str, r_free: str) -> None:
    document = gemmi.cif.read_string(gzip.decompress(MODEL.read_bytes()))
    document.sole_block().find_values("_refine.ls_R_factor_R_free")[0] = r_free
    server.files[f"/{name}/{name}_final.cif"] = document.as_string().encode()
    server.files[f"/{name}/{name}_final.mtz"] = gzip.decompress(MTZ.read_bytes())


def test_crystals_become_a_folder_to_train_on(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, r_free in (("1az5", "0.213"), ("2abc", "0.31"), ("3abc", "0.35"), ("4abc", "?")):
        serve_crystal(server, name, r_free)
    server.faults["/2abc/2abc_final.mtz"] = ["truncated", ""]
    (tmp_path / "names.txt").write_text("2abc 3abc\n4abc\n1az5\n")
    out = tmp_path / "crystals"
    command = ["fetch", "crystals", "1AZ5", "--list", str(tmp_path / "names.txt"), "--out", str(out)]
    command += ["--server", server.url, "--test", "1", "--resolution", "1.9", "4"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "1az5: 2.00 Å, R-free 0.213" in printed
    assert "3abc: left out, its R-free of 0.350 is not below 0.35" in printed
    assert "4abc: left out, its model does not say its R-free" in printed
    dev, train = read_index(out, "dev"), read_index(out, "train")
    assert len(dev) == len(train) == 1
    assert {entry.name for entry in (*dev, *train)} == {"1az5", "2abc"}
    crystal = ExperimentalCrystal(dev[0])
    assert crystal.has_amplitudes
    assert len(crystal.residues.labels) == 95
    assert dev[0].r_free is not None
    assert len(dev[0].sequences[0]) >= 95
    asked = sum(server.requests.values())
    assert main(command) == 0
    assert sum(server.requests.values()) == asked, "all is there"
    (out / "2abc" / "data.mtz").write_bytes(b"damaged")
    assert main(command) == 0
    assert server.requests["/2abc/2abc_final.mtz"] == 3
    again = ["fetch", "crystals", "2abc", "--out", str(tmp_path / "again"), "--server", server.url]
    server.files["/2abc/2abc_final.mtz"] += b"\0"
    assert main([*again, "--same-as", str(out)]) == DownloadError.exit_code
    assert "instead of" in capsys.readouterr().out
    assert not (tmp_path / "again" / "2abc" / "data.mtz").exists()
    assert main([*again, "--same-as", str(tmp_path)]) == OptionError.exit_code


def test_what_cannot_be_used_does_not_stop_the_others(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serve_crystal(server, "1az5", "0.2")
    serve_crystal(server, "2bad", "0.2")
    server.files["/2bad/2bad_final.mtz"] = b"<html>"
    command = ["fetch", "crystals", "9xyz", "2bad", "1az5", "--out", str(tmp_path), "--server", server.url]
    assert main([*command, "--resolution", "1.9", "3"]) == DownloadError.exit_code
    printed = capsys.readouterr()
    assert "9xyz: failed. " in printed.out
    assert "2bad: failed. " in printed.out
    assert "2 of 3 entries could not be fetched or read: 9xyz, 2bad" in printed.err
    assert [entry.name for entry in read_index(tmp_path, "dev")] == ["1az5"]
    assert main([*command[:2], "1az5", *command[5:], "--r-free", "0.1"]) == TrainingDataError.exit_code
    with pytest.raises(SystemExit):
        main(["fetch", "models", "1az5", "--out", str(tmp_path), "--r-free", "0.1"])  # of crystals alone


def test_a_page_instead_of_a_file_is_not_kept(server: Server, tmp_path: Path) -> None:
    """As from a proxy that wants a password, with a status of success."""
    serve_crystal(server, "1az5", "0.2")
    server.files["/1az5.cif.gz"] = MODEL.read_bytes()
    right = dict(server.files)
    commands = [["fetch", kind, "--out", str(tmp_path / kind), "1az5"] for kind in ("models", "crystals")]
    commands[1] += ["--resolution", "1.9", "3"]
    for command in commands:
        server.files = dict.fromkeys(right, b"<html>Who are you?</html>")
        command += ["--server", f"{server.url}/"]
        assert main(command) == DownloadError.exit_code
        assert [p.name for p in (tmp_path / command[1]).rglob("*") if p.is_file()] == [CHECKSUMS]
        server.files = right
        assert main(command) == 0
    assert [entry.name for entry in read_index(tmp_path / "crystals")] == ["1az5"]


def test_an_index_grows(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, r_free in (("1az5", "0.2"), ("2abc", "0.3"), ("3abc", "0.32")):
        serve_crystal(server, name, r_free)
    command = ["fetch", "crystals", "--out", str(tmp_path), "--server", server.url, "--resolution", "1.9", "3"]
    assert main([*command, "1az5", "2abc"]) == 0
    assert main([*command, "3abc"]) == 0
    assert [entry.name for entry in read_index(tmp_path)] == ["1az5", "2abc", "3abc"]
    assert main([*command, "3abc", "--r-free", "0.25"]) == 0
    assert [entry.name for entry in read_index(tmp_path)] == ["1az5"], "what no longer meets the criteria goes"
    index = tmp_path / "index.tsv"
    index.write_text(index.read_text().replace("sequences", "sequences\tnote"))
    before, asked = index.read_bytes(), sum(server.requests.values())
    assert main([*command, "2abc"]) == OutputError.exit_code
    assert "was not written by edseg fetch" in capsys.readouterr().err
    assert (index.read_bytes(), sum(server.requests.values())) == (before, asked)


@pytest.mark.parametrize("url", ["https://[::1", f"http://{'a' * 70}.de", "http://a:b", "https://a b"])
def test_an_impossible_address_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="is not the address of a file on a server"):
        download(f"{url}/a", tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_models_and_names(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.files["/1az5.cif.gz"] = MODEL.read_bytes()
    assert main(["fetch", "models", "1az5", "--out", str(tmp_path), "--server", server.url]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"1az5.cif.gz", CHECKSUMS}
    assert "1az5: " in capsys.readouterr().out
    assert main(["fetch", "models", "../1az5", "--out", str(tmp_path), "--server", server.url]) == OptionError.exit_code
    assert main(["fetch", "models", "--out", str(tmp_path), "--server", server.url]) == OptionError.exit_code
    assert checked_names(["1AZ5", "pdb_00001az5", "1az5", ""]) == ["1az5", "pdb_00001az5"]
