"""The lab's own certificate authority, and one certificate per host and one for the machine."""
import os

from .run import run, write
from .settings import HOSTS, PKI

CA_TEMPLATE = """cn = "Godwit lab CA"
ca
cert_signing_key
expiration_days = 3650
"""
# Each host is a server to its peers and a client of them, so its one certificate is for both uses.
# QEMU asks for encryption_key besides signing_key.
NODE_TEMPLATE = """organization = "Godwit lab"
cn = "%(name)s"
%(names)s
tls_www_server
tls_www_client
signing_key
encryption_key
expiration_days = 3650
"""


def make_key(path):
    run(["certtool", "--generate-privkey", "--key-type", "rsa", "--bits", "2048", "--no-text",
         "--outfile", path])
    os.chmod(path, 0o600)


def make_authority():
    if os.path.exists(PKI + "/ca.pem"):
        return
    make_key(PKI + "/ca-key.pem")
    write(PKI + "/ca.template", CA_TEMPLATE)
    run(["certtool", "--generate-self-signed", "--load-privkey", PKI + "/ca-key.pem",
         "--template", PKI + "/ca.template", "--outfile", PKI + "/ca.pem.part"])
    os.replace(PKI + "/ca.pem.part", PKI + "/ca.pem")


def make_node(name, addresses):
    """A key and certificate for one host, made again only if what it certifies has changed."""
    base = PKI + "/" + name
    names = ["dns_name = %s" % name] + ["ip_address = %s" % address for address in addresses]
    template = NODE_TEMPLATE % {"name": name, "names": "\n".join(names)}
    if os.path.exists(base + ".pem"):
        with open(base + ".template", encoding="utf-8") as source:
            if source.read() == template:
                return
        os.unlink(base + ".pem")
    make_key(base + "-key.pem")
    write(base + ".template", template)
    run(["certtool", "--generate-certificate", "--load-privkey", base + "-key.pem",
         "--load-ca-certificate", PKI + "/ca.pem", "--load-ca-privkey", PKI + "/ca-key.pem",
         "--template", base + ".template", "--outfile", base + ".pem.part"])
    os.replace(base + ".pem.part", base + ".pem")


def place(source, target):
    with open(PKI + "/" + source, encoding="utf-8") as content:
        write(target, content.read(), 0o600 if "key" in source else 0o644)


def prepare_client():
    """What `virsh -c qemu+tls://…?pkipath=` reads on the machine itself."""
    os.makedirs(PKI, exist_ok=True)
    make_authority()
    make_node("client", [])
    place("ca.pem", PKI + "/client/cacert.pem")
    place("client.pem", PKI + "/client/clientcert.pem")
    place("client-key.pem", PKI + "/client/clientkey.pem")


def prepare_host(name, address):
    """The host's /etc/pki: libvirt's and QEMU's default places, so that no URI needs options."""
    make_node(name, [address])
    etc = HOSTS + "/" + name + "/etc/pki"
    place("ca.pem", etc + "/CA/cacert.pem")
    for role in ("server", "client"):
        place(name + ".pem", "%s/libvirt/%scert.pem" % (etc, role))
        place(name + "-key.pem", "%s/libvirt/private/%skey.pem" % (etc, role))
        place(name + ".pem", "%s/qemu/%s-cert.pem" % (etc, role))
        place(name + "-key.pem", "%s/qemu/%s-key.pem" % (etc, role))
    place("ca.pem", etc + "/qemu/ca-cert.pem")
