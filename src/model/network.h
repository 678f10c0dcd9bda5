/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/address.h"
#include "model/vm.h"

/* Networks of hosts, and what VMs' adapters become of a move (R40, "Select Networks"). */

typedef struct {
    char *name;
    gboolean is_default; /* for adapters that name none */
    char **vlans;        /* "42"; several: a trunk */
} GwPortGroup;
GW_DECLARE_RECORD(GwPortGroup, gw_port_group)

typedef struct {
    char *name;
    char *kind; /* "libvirt" (a libvirt network) or "bridge" (a host bridge) */
    char *bridge;
    gboolean active;
    char *forward;  /* of a libvirt network: bridge, nat, route, open, isolated, private, …; NULL:
                       not told */
    gint64 mtu;     /* 0: not told */
    char **vlans;   /* that the network itself gives its adapters */
    char **subnets; /* "10.1.0.0/16", "fd00:1::/64": that the host sees there */
    GPtrArray *port_groups; /* GwPortGroup */
    char *virtual_port;     /* openvswitch, 802.1Qbh, …; NULL: none */
} GwNetwork;
GW_DECLARE_RECORD(GwNetwork, gw_network)

#define GW_NETWORKS_MAX 4096   /* of one host */
#define GW_SUBNETS_MAX 64      /* of one network */
#define GW_VLANS_MAX 64        /* of one network, port group or adapter */
#define GW_PORT_GROUPS_MAX 256 /* of one network */

/* Sorts @networks (GwNetwork): libvirt's before bridges, by name. Neither libvirt nor the kernel
 * lists them in an order, and equal hosts are to be told alike. */
void gw_networks_sort(GPtrArray *networks);

/* What an administrator declares of a host: "br0=dmz" says that the network or bridge br0 leads to
 * the physical network dmz. */
#define GW_NETWORK_TAGS_MAX 256
gboolean gw_network_tags_check(char *const *tags, GError **error);
/* The physical network of @name, borrowed; NULL: none is declared. */
const char *gw_network_tag(char *const *tags, const char *name);

/* Whether the adapter has no network, and is meant to have none: its link is down, and what is
 * behind it is of no network of the host. */
gboolean gw_nic_is_none(const GwNic *nic);

/* Why an adapter gets the network that it gets; of several that hold, the first. */
typedef enum {
    GW_NIC_UNMATCHED, /* nothing at the destination matches: a person has to choose */
    GW_NIC_KEPT,      /* it is on no network of the host: it goes along as it is */
    GW_NIC_NONE,      /* it has none, and gets none */
    GW_NIC_NAME,      /* same name and kind */
    GW_NIC_BRIDGE,    /* same bridge and VLANs */
    GW_NIC_TAG,       /* same physical network, as declared, and VLANs */
    GW_NIC_SUBNET,    /* the destination sees the same subnet there */
    GW_NIC_CHOSEN,    /* a person said so */
} GwNicMatch;
extern const GwEnum gw_nic_match_enum;

/* Where one adapter goes. */
typedef struct {
    char *mac;
    int match; /* GwNicMatch */
    char *why; /* for people */
    GwNic *from;
    GwNic *to;        /* NULL: unmatched */
    gboolean changes; /* the definition has to say something else there */
} GwNicMove;
GW_DECLARE_RECORD(GwNicMove, gw_nic_move)

/* Whether any of @nics (GwNicMove, may be NULL) changes. */
gboolean gw_nic_moves_change(const GPtrArray *nics);

#define GW_NIC_CHOICES_MAX 256 /* of one request: more than a VM can have */

/* What a person chose for one adapter. */
typedef struct {
    char *mac;
    char *network;      /* of the destination */
    char *kind;         /* "libvirt" or "bridge"; NULL: by the name, the adapter's own kind first */
    char *port_group;   /* NULL: the network's default */
    gboolean none;      /* no network: the link goes down */
    gboolean link_down; /* on that network, but with its link down */
} GwNicChoice;
GW_DECLARE_RECORD(GwNicChoice, gw_nic_choice)
/* Shape only: a MAC address, and a network or none. Whether the VM has such an adapter and the
 * destination such a network is the planner's. */
gboolean gw_nic_choice_check(const GwNicChoice *choice, GError **error);
