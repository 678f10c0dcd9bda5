"""Where this lab lives and what its things are called. Two labs of different names never meet."""
import os
import re
import zlib

NAME = os.environ.get("GODWIT_LAB_NAME", "")
if not re.fullmatch(r"[a-z0-9]{0,4}", NAME):
    raise SystemExit("GODWIT_LAB_NAME must be at most four lower-case letters or digits")

STATE = os.path.abspath(os.environ.get(
    "GODWIT_LAB_STATE", "/var/lib/godwit-lab" + ("-" + NAME if NAME else "")))
# Packages, kernel and built programs are the same for every lab, so all labs share one cache.
CACHE = os.path.abspath(os.environ.get("GODWIT_LAB_CACHE", "/var/lib/godwit-lab/cache"))

HERE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
SHARED = STATE + "/shared"
LOCAL = STATE + "/local"
STORES = STATE + "/stores"
HOSTS = STATE + "/hosts"
GUESTS = STATE + "/guests"
CONSOLES = STATE + "/console"
PKI = STATE + "/pki"
WITNESS = STATE + "/witness"
TREE = CACHE + "/backports/tree"
BRIDGE = "gl" + NAME + "-br"
TLS_PORT = 16514
AGENT_PORT = 8447

HEARTBEAT_PORT = 7411
CONTROL_PORT = 7412


def network_prefix():
    """The first three numbers of this lab's /24. All are ranges set aside for documentation or
    tests, so that nothing real is ever shadowed by a lab."""
    if "GODWIT_LAB_NET" in os.environ:
        prefix = os.environ["GODWIT_LAB_NET"]
        if not re.fullmatch(r"\d+\.\d+\.\d+", prefix):
            raise SystemExit("GODWIT_LAB_NET is the first three numbers of a /24, as in 198.51.100")
        return prefix
    if NAME == "":
        return "198.51.100"
    if NAME == "b":
        return "203.0.113"
    return "198.18.%d" % (zlib.crc32(NAME.encode()) % 250 + 1)


PREFIX = network_prefix()
GATEWAY = PREFIX + ".1"


class LabError(Exception):
    """Something a person must know: what was seen, and what to do about it."""
