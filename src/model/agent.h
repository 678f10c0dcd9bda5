/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/record.h"

/* What a host's agent says of its machine beyond what libvirt knows, and what is found between two
 * agents. */

typedef struct {
    char *name;
    gint64 speed_mbps; /* -1: not told (virtual) */
    gint64 mtu;
    gboolean up;
    char **addresses;
    char **subnets; /* that those are in: "10.1.0.0/16" */
    gboolean bridge;
} GwInterface;
GW_DECLARE_RECORD(GwInterface, gw_interface)

typedef struct {
    char *path; /* mount point */
    char *type; /* xfs, ext4, nfs4, fuse.glusterfs, … */
    char *source;
    gint64 capacity_bytes;
    gint64 available_bytes;
    gboolean read_only;
    gboolean reflink;   /* tried on it, not assumed from its type */
    gboolean direct_io; /* O_DIRECT was tried as well: cache modes none and directsync need it */
    gint64 block_bytes; /* of the file system */
    char *id;           /* the same on two hosts exactly when they see one file system by a proof
                           or by server and export; NULL: not told */
    gboolean network;   /* several hosts may see it, by its type; a proof is a share's */
} GwFileSystem;
GW_DECLARE_RECORD(GwFileSystem, gw_file_system)

/* The path between two agents, as one of them measured it, gently. */
typedef struct {
    char *host_id; /* the other end */
    char *measured_at;
    gint64 bytes_per_s;   /* what the measurement got through: a lower bound of the link */
    gint64 round_trip_us; /* median of several */
    gint64 round_trip_max_us;
    double retransmitted; /* share of segments, 0 to 1; -1: not told */
    gint64 measured_bytes;
} GwLinkFacts;
GW_DECLARE_RECORD(GwLinkFacts, gw_link_facts)

typedef struct {
    char *version;          /* of the agent */
    gint64 wire_version;    /* of the protocol, as agreed */
    char *boot_id;          /* the kernel's: another one after each boot */
    gint64 clock_offset_ms; /* how far the host's clock is ahead of the controller's */
    char *certificate_serial;
    char *certificate_expires_at;
    gint64 resident_bytes; /* of the agent, both processes */
    gint64 sessions;
    gint64 streams;
    GPtrArray *interfaces;   /* GwInterface */
    GPtrArray *file_systems; /* GwFileSystem: those under pools, and libvirt's own */
    GPtrArray *links;        /* GwLinkFacts, the last to each host */
    char **warnings;         /* what a person should know: a certificate that ends soon, a clock
                                that is off, a VM that must not start here and was kept from it */
} GwAgentFacts;
GW_DECLARE_RECORD(GwAgentFacts, gw_agent_facts)

typedef enum { GW_CHECK_OK, GW_CHECK_WARNING, GW_CHECK_FAILED } GwCheckOutcome;
extern const GwEnum gw_check_outcome_enum;

/* One line of "godwit host check": something that a move needs, tried for real. */
typedef struct {
    char *name; /* "migration-socket" */
    char *host_id;
    int outcome; /* GwCheckOutcome */
    char *observed;
    char *required;
    char *remedy;
} GwCheckLine;
GW_DECLARE_RECORD(GwCheckLine, gw_check_line)
