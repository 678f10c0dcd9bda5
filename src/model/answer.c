/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/answer.h"

GW_DEFINE_RECORD(GwProblem, gw_problem, "Problem", "Why a request failed (RFC 9457).",
                 GW_F(GwProblem, type, GW_STRING,
                      .doc = "about:blank: the code says which problem it is."),
                 GW_F(GwProblem, title, GW_STRING, .doc = "The HTTP status in words."),
                 GW_F(GwProblem, status, GW_INT, .doc = "The HTTP status."),
                 GW_F(GwProblem, detail, GW_STRING, .doc = "What was observed and required."),
                 GW_F(GwProblem, code, GW_STRING,
                      .doc = "What a program acts on, e.g. not-found, refused."),
                 GW_F(GwProblem, remedy, GW_STRING, .doc = "What to do about it."),
                 GW_F(GwProblem, instance, GW_STRING, .doc = "The path that was asked for."),
                 GW_F(GwProblem, errors, GW_ARRAY, .of = &gw_finding_record,
                      .doc = "Where preflight refused: every finding."));

GW_DEFINE_RECORD(GwStatus, gw_status, "Status", "The controller and what it manages, in numbers.",
                 GW_F(GwStatus, version, GW_STRING, .doc = "Version of the controller."),
                 GW_F(GwStatus, started_at, GW_STRING,
                      .doc = "When the API began to serve, RFC 3339."),
                 GW_F(GwStatus, user, GW_STRING, .doc = "Whose token asked."),
                 GW_F(GwStatus, fingerprint, GW_STRING,
                      .doc = "sha256:HEX of the public key that this API is served with."),
                 GW_F(GwStatus, groups, GW_INT, .doc = "Host groups."),
                 GW_F(GwStatus, hosts, GW_INT, .doc = "Managed hosts."),
                 GW_F(GwStatus, hosts_not_responding, GW_INT, .doc = "Hosts that do not answer."),
                 GW_F(GwStatus, vms, GW_INT, .doc = "VMs, one for each host that holds it."),
                 GW_F(GwStatus, vms_running, GW_INT, .doc = "VMs that run."),
                 GW_F(GwStatus, shares, GW_INT, .doc = "Declared shares."),
                 GW_F(GwStatus, jobs_active, GW_INT, .doc = "Jobs that are not final."),
                 GW_F(GwStatus, jobs_held, GW_INT, .doc = "Jobs that need a person's answer."),
                 GW_F(GwStatus, revision, GW_INT, .doc = "Rises with every change of the fabric."));

GW_DEFINE_RECORD(GwHealth, gw_health, "Health", "Whether the controller answers at all.",
                 GW_F(GwHealth, status, GW_STRING, .flags = GW_REQUIRED, .doc = "ok."));
