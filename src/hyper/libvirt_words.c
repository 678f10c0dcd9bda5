/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper/libvirt_internal.h"

/* libvirt's numbers as the words virsh uses for them, in one spelling: lower case with hyphens. A
 * number from a newer libvirt is "unknown", never one of the known. */

#define WORDS_MAX 16

static const char *word(const char *const *words, guint count, int number)
{
    if (number < 0 || (guint)number >= count || words[number] == NULL)
        return "unknown";
    return words[number];
}

int gw_lv_state(int state)
{
    static const int states[] = {
        [VIR_DOMAIN_NOSTATE] = GW_VM_UNKNOWN,   [VIR_DOMAIN_RUNNING] = GW_VM_RUNNING,
        [VIR_DOMAIN_BLOCKED] = GW_VM_BLOCKED,   [VIR_DOMAIN_PAUSED] = GW_VM_PAUSED,
        [VIR_DOMAIN_SHUTDOWN] = GW_VM_SHUTDOWN, [VIR_DOMAIN_SHUTOFF] = GW_VM_OFF,
        [VIR_DOMAIN_CRASHED] = GW_VM_CRASHED,   [VIR_DOMAIN_PMSUSPENDED] = GW_VM_SUSPENDED,
    };
    return (guint)state < G_N_ELEMENTS(states) ? states[state] : GW_VM_UNKNOWN;
}

static const char *const reasons[][WORDS_MAX] = {
    [VIR_DOMAIN_RUNNING] = {
        [VIR_DOMAIN_RUNNING_BOOTED] = "booted",
        [VIR_DOMAIN_RUNNING_MIGRATED] = "migrated",
        [VIR_DOMAIN_RUNNING_RESTORED] = "restored",
        [VIR_DOMAIN_RUNNING_FROM_SNAPSHOT] = "from-snapshot",
        [VIR_DOMAIN_RUNNING_UNPAUSED] = "unpaused",
        [VIR_DOMAIN_RUNNING_MIGRATION_CANCELED] = "migration-canceled",
        [VIR_DOMAIN_RUNNING_SAVE_CANCELED] = "save-canceled",
        [VIR_DOMAIN_RUNNING_WAKEUP] = "wakeup",
        [VIR_DOMAIN_RUNNING_CRASHED] = "crashed",
        [VIR_DOMAIN_RUNNING_POSTCOPY] = "post-copy",
        [VIR_DOMAIN_RUNNING_POSTCOPY_FAILED] = "post-copy-failed",
    },
    [VIR_DOMAIN_PAUSED] = {
        [VIR_DOMAIN_PAUSED_USER] = "user",
        [VIR_DOMAIN_PAUSED_MIGRATION] = "migration",
        [VIR_DOMAIN_PAUSED_SAVE] = "save",
        [VIR_DOMAIN_PAUSED_DUMP] = "dump",
        [VIR_DOMAIN_PAUSED_IOERROR] = "io-error",
        [VIR_DOMAIN_PAUSED_WATCHDOG] = "watchdog",
        [VIR_DOMAIN_PAUSED_FROM_SNAPSHOT] = "from-snapshot",
        [VIR_DOMAIN_PAUSED_SHUTTING_DOWN] = "shutting-down",
        [VIR_DOMAIN_PAUSED_SNAPSHOT] = "snapshot",
        [VIR_DOMAIN_PAUSED_CRASHED] = "crashed",
        [VIR_DOMAIN_PAUSED_STARTING_UP] = "starting-up",
        [VIR_DOMAIN_PAUSED_POSTCOPY] = "post-copy",
        [VIR_DOMAIN_PAUSED_POSTCOPY_FAILED] = "post-copy-failed",
    },
    [VIR_DOMAIN_SHUTDOWN] = {
        [VIR_DOMAIN_SHUTDOWN_USER] = "user",
    },
    [VIR_DOMAIN_SHUTOFF] = {
        [VIR_DOMAIN_SHUTOFF_SHUTDOWN] = "shutdown",
        [VIR_DOMAIN_SHUTOFF_DESTROYED] = "destroyed",
        [VIR_DOMAIN_SHUTOFF_CRASHED] = "crashed",
        [VIR_DOMAIN_SHUTOFF_MIGRATED] = "migrated",
        [VIR_DOMAIN_SHUTOFF_SAVED] = "saved",
        [VIR_DOMAIN_SHUTOFF_FAILED] = "failed",
        [VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT] = "from-snapshot",
        [VIR_DOMAIN_SHUTOFF_DAEMON] = "daemon",
    },
    [VIR_DOMAIN_CRASHED] = {
        [VIR_DOMAIN_CRASHED_PANICKED] = "panicked",
    },
    [VIR_DOMAIN_PMSUSPENDED] = { NULL },
};

const char *gw_lv_reason(int state, int reason)
{
    if ((guint)state >= G_N_ELEMENTS(reasons))
        return "unknown";
    return word(reasons[state], WORDS_MAX, reason);
}

static const char *const events[] = {
    [VIR_DOMAIN_EVENT_DEFINED] = "defined",   [VIR_DOMAIN_EVENT_UNDEFINED] = "undefined",
    [VIR_DOMAIN_EVENT_STARTED] = "started",   [VIR_DOMAIN_EVENT_SUSPENDED] = "suspended",
    [VIR_DOMAIN_EVENT_RESUMED] = "resumed",   [VIR_DOMAIN_EVENT_STOPPED] = "stopped",
    [VIR_DOMAIN_EVENT_SHUTDOWN] = "shutdown", [VIR_DOMAIN_EVENT_PMSUSPENDED] = "pmsuspended",
    [VIR_DOMAIN_EVENT_CRASHED] = "crashed",
};

const char *gw_lv_event_word(int event)
{
    return word(events, G_N_ELEMENTS(events), event);
}

static const char *const details[][WORDS_MAX] = {
    [VIR_DOMAIN_EVENT_DEFINED] = { "added", "updated", "renamed", "from-snapshot" },
    [VIR_DOMAIN_EVENT_UNDEFINED] = { "removed", "renamed" },
    [VIR_DOMAIN_EVENT_STARTED] = { "booted", "migrated", "restored", "from-snapshot", "wakeup" },
    [VIR_DOMAIN_EVENT_SUSPENDED] = { "paused", "migrated", "io-error", "watchdog", "restored",
                                     "from-snapshot", "api-error", "post-copy",
                                     "post-copy-failed" },
    [VIR_DOMAIN_EVENT_RESUMED] = { "unpaused", "migrated", "from-snapshot", "post-copy",
                                   "post-copy-failed" },
    [VIR_DOMAIN_EVENT_STOPPED] = { "shutdown", "destroyed", "crashed", "migrated", "saved",
                                   "failed", "from-snapshot" },
    [VIR_DOMAIN_EVENT_SHUTDOWN] = { "finished", "guest", "host" },
    [VIR_DOMAIN_EVENT_PMSUSPENDED] = { "memory", "disk" },
    [VIR_DOMAIN_EVENT_CRASHED] = { "panicked", "crashloaded" },
};

const char *gw_lv_detail_word(int event, int detail)
{
    if (event < 0 || (guint)event >= G_N_ELEMENTS(details))
        return "unknown";
    return word(details[event], WORDS_MAX, detail);
}

static const char *const block_jobs[] = {
    [VIR_DOMAIN_BLOCK_JOB_TYPE_PULL] = "pull",
    [VIR_DOMAIN_BLOCK_JOB_TYPE_COPY] = "copy",
    [VIR_DOMAIN_BLOCK_JOB_TYPE_COMMIT] = "commit",
    [VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT] = "active-commit",
    [VIR_DOMAIN_BLOCK_JOB_TYPE_BACKUP] = "backup",
};

const char *gw_lv_block_job(int type)
{
    return word(block_jobs, G_N_ELEMENTS(block_jobs), type);
}
