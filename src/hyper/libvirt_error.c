/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/libvirt_internal.h"

/* libvirt's errors as ours: its words, our code, and what a person can do about the common ones. */

static const struct {
    int number; /* virErrorNumber */
    GwErrorCode code;
} codes[] = {
    { VIR_ERR_NO_DOMAIN, GW_ERR_NOT_FOUND },
    { VIR_ERR_NO_STORAGE_POOL, GW_ERR_NOT_FOUND },
    { VIR_ERR_NO_STORAGE_VOL, GW_ERR_NOT_FOUND },
    { VIR_ERR_NO_NETWORK, GW_ERR_NOT_FOUND },
    { VIR_ERR_NO_SUPPORT, GW_ERR_UNSUPPORTED },
    { VIR_ERR_CONFIG_UNSUPPORTED, GW_ERR_UNSUPPORTED },
    { VIR_ERR_OPERATION_UNSUPPORTED, GW_ERR_UNSUPPORTED },
    { VIR_ERR_ARGUMENT_UNSUPPORTED, GW_ERR_UNSUPPORTED },
    { VIR_ERR_AUTH_FAILED, GW_ERR_UNREACHABLE },
    { VIR_ERR_AUTH_CANCELLED, GW_ERR_UNREACHABLE },
    { VIR_ERR_AUTH_UNAVAILABLE, GW_ERR_UNREACHABLE },
    { VIR_ERR_NO_CONNECT, GW_ERR_UNREACHABLE },
    { VIR_ERR_INVALID_CONN, GW_ERR_UNREACHABLE },
    { VIR_ERR_GNUTLS_ERROR, GW_ERR_UNREACHABLE },
    { VIR_ERR_LIBSSH, GW_ERR_UNREACHABLE },
    { VIR_ERR_SSH, GW_ERR_UNREACHABLE },
    { VIR_ERR_UNKNOWN_HOST, GW_ERR_UNREACHABLE },
    { VIR_ERR_INVALID_ARG, GW_ERR_INVALID },
    { VIR_ERR_XML_ERROR, GW_ERR_INVALID },
    { VIR_ERR_XML_DETAIL, GW_ERR_INVALID },
    { VIR_ERR_XML_INVALID_SCHEMA, GW_ERR_INVALID },
    { VIR_ERR_OPERATION_ABORTED, GW_ERR_CANCELLED },
    { VIR_ERR_DOM_EXIST, GW_ERR_CONFLICT },
    { VIR_ERR_STORAGE_VOL_EXIST, GW_ERR_CONFLICT },
};

/* The first whose words are in the message; the more particular come first. */
static const struct {
    const char *words;
    const char *remedy;
} remedies[] = {
    { "Host key verification failed",
      "Put the host's ssh key into known_hosts of the account that the controller runs as (connect "
      "once by hand with ssh)." },
    { "Permission denied (",
      "Let the controller's ssh key in: put its public key into authorized_keys of the account in "
      "the URI." },
    { "certificate failed validation", "The TLS certificates do not fit: both sides need "
                                       "certificates of one CA, and the host's must "
                                       "name the address used in the URI." },
    { "certificate",
      "Check the TLS certificates of both sides: one CA, not expired, and the host's must name the "
      "address used in the URI." },
    { "TLS handshake", "Check the TLS certificates of both sides, and that the host's libvirtd "
                       "listens for TLS." },
    { "Connection refused",
      "Start libvirtd on the host and let it listen on the transport of the URI (for TLS: "
      "libvirtd-tls.socket, port 16514; for ssh: sshd)." },
    { "No route to host",
      "Check the address and the network between the controller and the host." },
    { "Network is unreachable", "Check the address and the routes of the controller." },
    { "Name or service not known", "Check the spelling of the host's name, and DNS." },
    { "name resolution", "Check the spelling of the host's name, and DNS." },
    { "resolve", "Check the spelling of the host's name, and DNS, on the side that says so." },
    { "timed out", "Check that the host is up and that no firewall drops the connection." },
    { "authentication",
      "Check the account in the URI, and how the host's libvirtd authenticates it." },
    { "Failed to connect socket to",
      "Check that libvirtd runs there, and that this account may use its socket." },
    { "Unsafe migration",
      "Declare the storage a share and have it proved, or use cache mode none for the disks." },
    { "CPU doesn't match", "Give the VM a CPU model that both hosts have, and restart it." },
    { "incompatible with host CPU",
      "Give the VM a CPU model that both hosts have, and restart it." },
    { "unable to connect to server at",
      "Open the migration ports (49152 to 49215) on the destination for the source." },
    { "already exists with uuid",
      "Another VM of this name or UUID is on the destination: rename or remove it." },
    { "cannot acquire state change lock",
      "Another operation on this VM has not ended; wait for it, or look at the VM on its host." },
    { "Cannot access storage file",
      "Make the disk image reachable at the same path on the destination." },
    { "No such file or directory",
      "Make the file that is named reachable at the same path on that host." },
    { "Permission denied", "Check the owner and mode of what is named, on that host." },
    { "Cannot get interface MTU", "Create the network or bridge of the VM on the destination." },
    { "Network not found", "Create the network of the VM on the destination." },
    { "does not support machine type", "Move it to a host whose QEMU knows the machine type." },
};

static const char *remedy_for(const char *message)
{
    for (guint i = 0; i < G_N_ELEMENTS(remedies); i++) {
        if (strstr(message, remedies[i].words) != NULL)
            return remedies[i].remedy;
    }
    return NULL;
}

int gw_lv_last_code(void)
{
    virErrorPtr last = virGetLastError();

    return last != NULL ? last->code : VIR_ERR_OK;
}

void gw_lv_error(GError **error)
{
    virErrorPtr last = virGetLastError();
    const char *message = last != NULL && last->message != NULL ? last->message : "unknown error";
    GwErrorCode code = GW_ERR_OPERATION;

    for (guint i = 0; last != NULL && i < G_N_ELEMENTS(codes); i++) {
        if (codes[i].number == last->code)
            code = codes[i].code;
    }
    gw_error_set(error, code, remedy_for(message), "%s", message);
}
