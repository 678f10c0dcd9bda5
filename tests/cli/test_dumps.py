# SPDX-License-Identifier: LGPL-2.1-or-later
"""godwit explain --domain-xml: no controller, no network, only dumps."""
import json
import os
import pathlib
import subprocess

import pytest

from conftest import PROGRAM

DUMPS = pathlib.Path(__file__).parent / "dumps"
WEB1, KVM1, KVM2 = DUMPS / "web1.xml", DUMPS / "kvm1.xml", DUMPS / "kvm2.xml"
BOMB = ("<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'>" +
        "".join(f"<!ENTITY {b} '{f'&{a};' * 10}'>" for a, b in zip("abcdefgh", "bcdefghi")) +
        "]><domain>&i;</domain>")


@pytest.fixture
def explain(tmp_path):
    """Where there is no controller, no configuration, no token and no certificate."""
    def run(*args, text=None):
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8",
               "XDG_CONFIG_HOME": str(tmp_path / "none"), "GODWIT_SERVER": "https://127.0.0.1:1",
               "GODWIT_CA": str(tmp_path / "no.pem"), "GODWIT_TOKEN_FILE": str(tmp_path / "no")}
        env.update({k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")})
        return subprocess.run([PROGRAM, "explain", *map(str, args)], env=env, input=text,
                              capture_output=True, text=True, timeout=60)
    return run


def told(run):
    return json.loads(run.stdout)


def refuses(run, *words):
    """An input that cannot be used: exit status 2, nothing on standard output, and a reason."""
    assert run.returncode == 2, run.stderr
    assert run.stdout == ""
    assert all(word in run.stderr for word in words), run.stderr
    assert "Remedy: " in run.stderr
    return True


@pytest.mark.parametrize("name, args, status", [
    ("dump", [], 0),
    ("dump-kvm2", ["--capabilities", KVM2, "--source-capabilities", KVM1], 3),
    ("dump-off", ["--off"], 0),
])
@pytest.mark.parametrize("form", ["table", "json", "yaml"])
def test_golden(explain, golden, name, args, status, form):
    run = explain("--domain-xml", WEB1, *args, "-o", form)
    assert run.returncode == status and run.stderr == ""
    golden(f"{name}.{form}", run.stdout)


def test_standard_input(explain):
    by_file = explain("--domain-xml", WEB1, "-o", "json")
    assert told(explain("--domain-xml", "-", "-o", "json", text=WEB1.read_text())) == told(by_file)
    refuses(explain("--domain-xml", "-", "--capabilities", "-", text=WEB1.read_text()),
            "standard input")


def test_both_hosts_cpus_are_compared_alike(explain):
    args = ["--domain-xml", WEB1, "--capabilities", KVM2, "--source-capabilities", KVM1,
            "-o", "json"]
    plain = explain(*args)
    more = explain(*args, "--domain-capabilities", DUMPS / "kvm2-domains.xml")
    assert "Broadwell on the destination" in plain.stdout
    # What host-model comes to there is not compared with what the source calls itself.
    assert "Broadwell on the destination" in more.stdout
    assert "Broadwell-noTSX-IBRS on the destination" not in more.stdout


def test_domain_capabilities_tell_of_cpus(explain, tmp_path):
    dump = WEB1.read_text().replace(
        "<cpu mode='host-passthrough'/>",
        "<cpu mode='custom' match='exact'><model fallback='forbid'>Skylake</model></cpu>")
    (tmp_path / "web1.xml").write_text(dump)
    models = DUMPS.joinpath("kvm2-domains.xml").read_text().replace("</cpu>", (
        "<mode name='custom' supported='yes'><model usable='%s'>Skylake</model>%s</mode></cpu>"))
    lacks = "<blockers model='Skylake'><feature name='avx512f'/></blockers>"
    args = ["--domain-xml", tmp_path / "web1.xml", "--domain-capabilities", "-", "-o", "json"]
    fine = explain(*args, text=models % ("yes", ""))
    assert fine.returncode == 0
    assert [f["rule"] for f in told(fine)["findings"]] == []
    refused = explain(*args, text=models % ("no", lacks))
    assert refused.returncode == 3
    assert "avx512f" in told(refused)["findings"][0]["observed"]


def test_what_is_not_told_is_listed(explain):
    alone = told(explain("--domain-xml", WEB1, "-o", "json"))
    assert not alone["refused"] and alone["findings"] == []
    assert [row["subject"] for row in alone["untold"]] == [
        "machine", "CPU", "versions", "memory", "networks", "images", "state", "settings"]
    assert all(row["rules"] and row["required"] and row["tells"] for row in alone["untold"])
    known = told(explain("--domain-xml", WEB1, "--capabilities", KVM1, "-o", "json"))
    assert "machine" not in [row["subject"] for row in known["untold"]]


def test_unknown_elements_are_no_trouble(explain):
    text = WEB1.read_text().replace("<devices>", "<unheard a='1'><of/></unheard><devices><new/>")
    run = explain("--domain-xml", "-", "-o", "json", text=text)
    assert told(run) == told(explain("--domain-xml", WEB1, "-o", "json"))


def test_a_definition_that_is_read_in_part_is_refused(explain):
    text = WEB1.read_text().replace("/dev/disk/by-id/wwn", "/dev/" + "x" * 5000)
    run = explain("--domain-xml", "-", text=text)
    assert run.returncode == 3
    assert "cannot be read" in run.stdout and "5000" not in run.stderr


def test_terminals_are_not_driven(explain):
    text = WEB1.read_text().replace("<name>web1", "<name>\u202eweb\u009b31m").replace(
        "network='default'", "network='&#10;\u202edefault'")
    for form in "table", "json", "yaml":
        out = explain("--domain-xml", "-", "-o", form, text=text).stdout
        assert "\u009b" not in out and "\u202e" not in out


@pytest.mark.parametrize("text, words", [
    ("", ["empty"]),
    ("this is no XML", ["not usable XML"]),
    ("<domain><name>web1", ["not usable XML"]),
    (BOMB, ["not usable XML"]),
    ("<!DOCTYPE d SYSTEM 'file:///etc/passwd'><domain/>", ["DTD"]),
    ("<domain/>", ["UUID"]),
    ("<network><name>default</name></network>", ["a <network>", "virsh dumpxml"]),
    ("<domain>\0</domain>", ["UTF-8"]),
    ("<domain>" + "<a>" * 1000 + "</a>" * 1000 + "</domain>", ["not usable XML"]),
    ("<domain>" + " " * (4 << 20) + "</domain>", ["4194304"]),
])
def test_text_that_is_no_dump(explain, text, words):
    refuses(explain("--domain-xml", "-", text=text), "--domain-xml -: ", *words)


def test_bytes_that_are_no_text(explain, tmp_path):
    (tmp_path / "dump").write_bytes(b"<domain>\xff\xfe</domain>")
    refuses(explain("--domain-xml", tmp_path / "dump"), "UTF-8")


def test_files_that_cannot_be_used(explain, tmp_path):
    refuses(explain("--domain-xml", tmp_path / "none.xml"), "No such file")
    refuses(explain("--domain-xml", tmp_path), "Is a directory")
    refuses(explain("--domain-xml", "/dev/zero"), "4194304")
    (tmp_path / "dump").touch(0o000)
    if os.geteuid() != 0:
        refuses(explain("--domain-xml", tmp_path / "dump"), "Permission denied")
    with open(tmp_path / "large", "wb") as large:
        large.truncate(100 << 20)
    refuses(explain("--domain-xml", tmp_path / "large"), "4194304")
    refuses(explain("--domain-xml", WEB1, "--capabilities", WEB1), "<domain>", "<capabilities>",
            "virsh capabilities")
    refuses(explain("--domain-xml", KVM1), "<capabilities>", "virsh dumpxml")
    refuses(explain("--domain-xml", WEB1, "--capabilities", tmp_path / "none.xml"), "No such file")
    refuses(explain("--domain-xml", WEB1, "--capabilities", KVM1, "--domain-capabilities", KVM1),
            "<domainCapabilities>", "virsh domcapabilities")


def test_options_that_mean_nothing(explain):
    refuses(explain("web1", "--domain-xml", WEB1), "too many arguments")
    refuses(explain(), "argument is missing")
    arm = DUMPS.joinpath("kvm2-domains.xml").read_text().replace("x86_64</arch>", "aarch64</arch>")
    refuses(explain("--domain-xml", WEB1, "--capabilities", KVM1, "--domain-capabilities", "-",
                    text=arm), "aarch64", "x86_64", "virsh domcapabilities")


def test_options_without_a_dump(godwit):
    run = godwit("explain", "web1", "--capabilities", "x.xml")
    assert run.status == 2 and "--domain-xml FILE" in run.err


def test_errors_for_programs(explain, tmp_path):
    run = explain("--domain-xml", tmp_path / "none.xml", "-o", "json")
    assert run.returncode == 2 and json.loads(run.stderr)["code"] == "invalid"
