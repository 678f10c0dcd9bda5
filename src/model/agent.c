/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/agent.h"

GW_DEFINE_RECORD(GwInterface, gw_interface, "Interface", "A network interface of the host.",
                 GW_F(GwInterface, name, GW_STRING, .flags = GW_REQUIRED, .doc = "Its name."),
                 GW_F(GwInterface, speed_mbps, GW_INT, .min = -1, .max = G_MAXINT64,
                      .doc = "Speed in Mbit/s; -1: not told."),
                 GW_F(GwInterface, mtu, GW_INT, .doc = "Largest packet in bytes."),
                 GW_F(GwInterface, up, GW_BOOL, .doc = "Whether it is up."),
                 GW_F(GwInterface, addresses, GW_STRINGS, .doc = "Its addresses."),
                 GW_F(GwInterface, subnets, GW_STRINGS, .doc = "The subnets they are in (CIDR)."),
                 GW_F(GwInterface, bridge, GW_BOOL, .doc = "It is a bridge."));

GW_DEFINE_RECORD(
    GwFileSystem, gw_file_system, "FileSystem", "A file system that holds disks.",
    GW_F(GwFileSystem, path, GW_STRING, .flags = GW_REQUIRED, .doc = "Where it is mounted."),
    GW_F(GwFileSystem, type, GW_STRING, .doc = "Its type."),
    GW_F(GwFileSystem, source, GW_STRING, .doc = "What is mounted."),
    GW_F(GwFileSystem, capacity_bytes, GW_INT, .doc = "Size in bytes."),
    GW_F(GwFileSystem, available_bytes, GW_INT, .doc = "Free space in bytes."),
    GW_F(GwFileSystem, read_only, GW_BOOL, .doc = "Whether nothing can be written."),
    GW_F(GwFileSystem, reflink, GW_BOOL, .doc = "Whether a file can be cloned (tried)."),
    GW_F(GwFileSystem, direct_io, GW_BOOL, .doc = "Whether files open with O_DIRECT (tried)."),
    GW_F(GwFileSystem, block_bytes, GW_INT, .doc = "Block size, bytes."),
    GW_F(GwFileSystem, id, GW_STRING, .doc = "Equal on two hosts that see one file system."),
    GW_F(GwFileSystem, network, GW_BOOL, .doc = "Whether its type is one that several hosts see."));

GW_DEFINE_RECORD(
    GwLinkFacts, gw_link_facts, "Link", "The path from this host's agent to another's.",
    GW_F(GwLinkFacts, host_id, GW_STRING, .flags = GW_REQUIRED, .doc = "The other host."),
    GW_F(GwLinkFacts, measured_at, GW_STRING, .doc = "When, RFC 3339."),
    GW_F(GwLinkFacts, bytes_per_s, GW_INT, .doc = "Bytes per second that got through."),
    GW_F(GwLinkFacts, round_trip_us, GW_INT, .doc = "Round trip in microseconds, median."),
    GW_F(GwLinkFacts, round_trip_max_us, GW_INT, .doc = "The longest, microseconds."),
    GW_F(GwLinkFacts, retransmitted, GW_DOUBLE,
         .doc = "Share of segments that were sent again, 0 to 1; -1: not told."),
    GW_F(GwLinkFacts, measured_bytes, GW_INT, .doc = "Bytes that the measurement sent."));

GW_DEFINE_RECORD(
    GwAgentFacts, gw_agent_facts, "AgentFacts", "What the host's agent says of its machine.",
    GW_F(GwAgentFacts, version, GW_STRING, .doc = "The agent's version."),
    GW_F(GwAgentFacts, wire_version, GW_INT, .doc = "The protocol's version, as agreed."),
    GW_F(GwAgentFacts, boot_id, GW_STRING, .doc = "Another one after each boot."),
    GW_F(GwAgentFacts, clock_offset_ms, GW_INT, .min = G_MININT64, .max = G_MAXINT64,
         .doc = "How far the host's clock is ahead of the controller's, ms."),
    GW_F(GwAgentFacts, certificate_serial, GW_STRING, .doc = "Of the host's certificate."),
    GW_F(GwAgentFacts, certificate_expires_at, GW_STRING, .doc = "When it ends, RFC 3339."),
    GW_F(GwAgentFacts, resident_bytes, GW_INT, .doc = "Memory of the agent's processes."),
    GW_F(GwAgentFacts, sessions, GW_INT, .doc = "Connections to other agents and controllers."),
    GW_F(GwAgentFacts, streams, GW_INT, .doc = "Streams that it carries."),
    GW_F(GwAgentFacts, interfaces, GW_ARRAY, .of = &gw_interface_record,
         .doc = "Network interfaces."),
    GW_F(GwAgentFacts, file_systems, GW_ARRAY, .of = &gw_file_system_record,
         .doc = "File systems under pools and libvirt's own folders."),
    GW_F(GwAgentFacts, links, GW_ARRAY, .of = &gw_link_facts_record,
         .doc = "The last measurement to each host."),
    GW_F(GwAgentFacts, warnings, GW_STRINGS, .doc = "What a person should know."));

const GwEnum gw_check_outcome_enum = { "CheckOutcome",
                                       (const char *const[]){ "ok", "warning", "failed", NULL } };

GW_DEFINE_RECORD(GwCheckLine, gw_check_line, "CheckLine", "Something a move needs, tried for real.",
                 GW_F(GwCheckLine, name, GW_STRING, .flags = GW_REQUIRED, .doc = "What was tried."),
                 GW_F(GwCheckLine, host_id, GW_STRING, .doc = "On which host."),
                 GW_F(GwCheckLine, outcome, GW_ENUM, .of_enum = &gw_check_outcome_enum,
                      .doc = "How it went."),
                 GW_F(GwCheckLine, observed, GW_STRING, .doc = "What was observed."),
                 GW_F(GwCheckLine, required, GW_STRING, .doc = "What is required."),
                 GW_F(GwCheckLine, remedy, GW_STRING, .doc = "What to do about it."));
