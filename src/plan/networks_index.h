/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/host.h"

/* What a host with many networks has, by name: each adapter of a VM is held against all of them,
 * and each of them against the others. */

/* What is called by one name. */
typedef struct {
    const GwNetwork *network; /* the libvirt network; NULL: none */
    const GwNetwork *bridge;  /* the bridge's record; NULL: none */
    const GwNetwork *owner; /* the libvirt network that keeps that bridge for itself; NULL: none */
    gboolean listed;        /* among the host's bridges */
    gboolean of_network;    /* the bridge may be known of a libvirt network alone */
} GwNetName;

typedef struct GwNetIndex GwNetIndex;

/* NULL: it has few, which are read as they are. Borrowed: valid until this thread has asked for two
 * other hosts. */
const GwNetIndex *gw_net_index(const GwHost *host);
/* Never NULL. */
const GwNetName *gw_net_index_find(const GwNetIndex *index, const char *name);
