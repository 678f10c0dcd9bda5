/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* The one error domain. A code is what a program acts on (API status, CLI exit code, retry or not);
 * the message says what was observed and what was required; the remedy says what a person can do.
 */
#define GW_ERROR (gw_error_quark())

typedef enum {
    GW_ERR_INTERNAL,        /* our defect */
    GW_ERR_INVALID,         /* input that can never be right: bad URI, bad JSON, bad name */
    GW_ERR_NOT_FOUND,       /* no such host, VM, job */
    GW_ERR_CONFLICT,        /* right in itself, but not now: duplicate, wrong state, stale ETag */
    GW_ERR_REFUSED,         /* preflight refused it; the findings say why */
    GW_ERR_UNAUTHORIZED,    /* no or wrong token */
    GW_ERR_FORBIDDEN,       /* the token's role does not allow it */
    GW_ERR_TOO_LARGE,       /* over a ceiling */
    GW_ERR_UNREACHABLE,     /* a host or the controller does not answer */
    GW_ERR_TIMEOUT,         /* a deadline of ours passed */
    GW_ERR_CANCELLED,       /* somebody asked for it */
    GW_ERR_UNKNOWN_OUTCOME, /* an operation failed in a way that leaves its effect unknown */
    GW_ERR_UNSUPPORTED,     /* this version of libvirt or QEMU cannot do it */
    GW_ERR_STORE,           /* the database refused: full, corrupt, newer, locked */
    GW_ERR_OPERATION,       /* libvirt or QEMU said no */
    GW_ERR_BUSY,            /* refused for now only: what is in the way passes by itself */
} GwErrorCode;

GQuark gw_error_quark(void);

/* Sets @error (which may be NULL) with a message and a remedy; @remedy may be NULL where there is
 * none. The message is cleaned of control characters, since parts of it come from outside. */
void gw_error_set(GError **error, GwErrorCode code, const char *remedy, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

/* The remedy of @error, or NULL. Owned by @error. */
const char *gw_error_remedy(const GError *error);

/* Whether what was asked may have been done all the same: there was no answer, or none that tells.
 */
gboolean gw_error_leaves_open(const GError *error);

/* The code's word in JSON ("not-found") and back (unknown word: GW_ERR_INTERNAL). */
const char *gw_error_code_word(GwErrorCode code);
GwErrorCode gw_error_code_from_word(const char *word);
