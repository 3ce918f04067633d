"""What leaves the folder, and what stays inside."""

import pytest

from scanners._formats.paths import escapes


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("/etc/hostname", "absolute"),
        (" /etc/hostname", "absolute"),
        ("../x", "climbs"),
        ("a/../../x", "climbs"),
        ("a\\..\\x", "climbs"),
        ("．．/x", "climbs"),
        (".. /x", "climbs"),
        (".../x", "climbs"),
        ("%2e%2e/x", "percent"),
        ("C:x", "drive"),
        ("c:\\x", "drive"),
        ("\\\\host\\share", "machine"),
        ("//host/share", "machine"),
        ("\\\\.\\pipe\\x", "machine"),
        ("https://host.test/x", "URL"),
        ("file:/x", "URL"),
        ("zip::s3://x", "URL"),
        ("x\0.bin", "NUL"),
        ("nul", "device"),
        ("a/COM1.txt", "device"),
        ("~/x", "home"),
        ("$HOME/x", "variable"),
        ("${HOME}/x", "variable"),
        ("%TEMP%\\x", "variable"),
    ],
)
def test_what_leaves_the_folder(text: str, why: str) -> None:
    assert why in (escapes(text) or "")


@pytest.mark.parametrize(
    "text",
    ["", ".", "x", "a/b.bin", "./a/b", "a..b", "..a", "consul.txt", "com10", "weights: part 1", "100%", "a b/ü.bin"],
)
def test_what_stays_inside(text: str) -> None:
    assert escapes(text) is None
