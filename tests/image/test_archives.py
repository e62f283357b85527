"""What registries, containerd and other tools see of the archives."""

import gzip
import hashlib
import struct
import tarfile

import pytest

from tests.image.conftest import Archive
from tools.image.recipes import ARCHITECTURES

pytestmark = pytest.mark.timeout(900)
NAMES = ("flaggerpy", "flaggerpy-loadtester")
ELF_MACHINE = {"amd64": 62, "arm64": 183}


def test_equal_inputs_give_equal_bytes(built: dict[str, Archive], built_again: dict[str, Archive]) -> None:
    for name in NAMES:
        for architecture in ARCHITECTURES:
            first, second = (one[name].manifest(architecture) for one in (built, built_again))
            assert first == second, (name, architecture)
        assert built[name].path.read_bytes() == built_again[name].path.read_bytes(), name


@pytest.mark.parametrize("name", NAMES)
def test_the_archive_is_an_oci_layout_whose_blobs_are_what_they_are_called(
    built: dict[str, Archive], name: str
) -> None:
    archive = built[name]
    assert archive.json("oci-layout") == {"imageLayoutVersion": "1.0.0"}
    with tarfile.open(archive.path) as files:
        blobs = {member.name: files.extractfile(member) for member in files if member.name.startswith("blobs/")}
        sizes = {}
        for path, file in blobs.items():
            assert file is not None
            data = file.read()
            assert path == "blobs/sha256/" + hashlib.sha256(data).hexdigest()
            sizes["sha256:" + path.rpartition("/")[2]] = len(data)
    for descriptor in archive.manifests().values():
        assert sizes[descriptor["digest"]] == descriptor["size"]
        manifest = archive.manifest(descriptor["platform"]["architecture"])
        for blob in (manifest["config"], *manifest["layers"]):
            assert sizes[blob["digest"]] == blob["size"]


@pytest.mark.parametrize("name", NAMES)
def test_containerd_finds_the_name_under_which_the_cluster_asks(built: dict[str, Archive], name: str) -> None:
    (index,) = built[name].json("index.json")["manifests"]
    reference = index["annotations"]["io.containerd.image.name"]
    assert reference.startswith(f"ghcr.io/flaggerpy/{name}:")
    assert index["annotations"]["org.opencontainers.image.ref.name"] == reference.rpartition(":")[2]


@pytest.mark.parametrize("name", NAMES)
def test_tools_that_read_docker_archives_find_the_amd64_image(built: dict[str, Archive], name: str) -> None:
    archive = built[name]
    (entry,) = archive.json("manifest.json")
    manifest = archive.manifest("amd64")
    assert entry["Config"].endswith(manifest["config"]["digest"].removeprefix("sha256:"))
    assert [layer.rpartition("/")[2] for layer in entry["Layers"]] == [
        layer["digest"].removeprefix("sha256:") for layer in manifest["layers"]
    ]


@pytest.mark.parametrize("name", NAMES)
def test_layers_unpack_to_what_the_configuration_says(built: dict[str, Archive], name: str) -> None:
    for architecture in ARCHITECTURES:
        archive = built[name]
        said = archive.config(architecture)["rootfs"]["diff_ids"]
        layers = [archive.blob(layer["digest"]) for layer in archive.manifest(architecture)["layers"]]
        assert said == ["sha256:" + hashlib.sha256(gzip.decompress(layer)).hexdigest() for layer in layers]


@pytest.mark.parametrize("name", NAMES)
def test_what_was_not_run_is_marked(built: dict[str, Archive], name: str) -> None:
    tested = {
        architecture: descriptor["annotations"]["dev.flaggerpy.tested"]
        for architecture, descriptor in built[name].manifests().items()
    }
    assert tested == {"amd64": "run", "arm64": "built, not run"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_program_and_library_is_for_the_architecture(
    built: dict[str, Archive], name: str, architecture: str
) -> None:
    programs = 0
    for layer in built[name].layers(architecture):
        for member in layer:
            file = layer.extractfile(member) if member.isfile() else None
            head = file.read(20) if file else b""
            if head[:4] == b"\x7fELF":
                programs += 1
                assert struct.unpack_from("<H", head, 18)[0] == ELF_MACHINE[architecture], member.name
    assert programs > 80


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_a_layer_tells_who_built_it_or_when(built: dict[str, Archive], name: str) -> None:
    for layer in built[name].layers("amd64"):
        members = layer.getmembers()
        owners = {(one.uid, one.gid, one.uname, one.gname, one.mtime) for one in members}
        assert owners == {(0, 0, "", "", 1_580_601_600)}
        assert [one.name for one in members] == sorted(one.name for one in members)


@pytest.mark.parametrize("name", NAMES)
def test_the_user_is_a_number_that_kubernetes_knows_is_not_root(built: dict[str, Archive], name: str) -> None:
    assert built[name].config("arm64")["config"]["User"] == "10001:10001"
