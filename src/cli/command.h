/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/json.h"
#include "model/record.h"

/* One row of the command table feeds the parser, help, completion and the man pages. */

typedef struct GwSession GwSession;
typedef struct GwArgs GwArgs;

typedef enum {
    GW_OPTION_FLAG,
    GW_OPTION_TEXT,
    GW_OPTION_INT,    /* from .min to .max */
    GW_OPTION_CHOICE, /* one of .words, or of .of_enum's */
    GW_OPTION_SWITCH, /* yes or no */
} GwOptionType;

typedef struct {
    const char *name; /* "bandwidth" for --bandwidth */
    GwOptionType type;
    const char *value;    /* its placeholder: "MIBPS" */
    const char *doc;      /* one sentence, with the unit */
    char letter;          /* 'o' for -o, 0 for none */
    const char *key;      /* the field of the body that it sets, "a.b" of one in it; NULL */
    const char *complete; /* what completes it: "hosts", "groups", "files", …, or NULL */
    gint64 min, max;
    const char *const *words;
    const GwEnum *of_enum;
    gboolean many; /* may be given several times, each adds one (text only) */
} GwOption;

typedef enum {
    GW_ARGUMENT_ONE,
    GW_ARGUMENT_OPTIONAL,
    GW_ARGUMENT_MANY, /* one or more; only as the last */
    GW_ARGUMENT_ANY,  /* none or more; only as the last */
} GwArgumentCount;

typedef struct {
    const char *name; /* "VM" */
    const char *complete;
    const char *doc;
    GwArgumentCount count;
} GwArgument;

typedef struct {
    const char *command;
    const char *doc;
} GwExample;

/* @error set: the exit status follows from its code (gw_exit_of_error), else what is returned. */
typedef int (*GwHandler)(GwSession *session, const GwArgs *args, GError **error);

typedef struct {
    const char *name;            /* "vm migrate" */
    const char *usage;           /* what follows the name; NULL: from the arguments */
    const char *summary;         /* one line, no full stop */
    const char *description;     /* paragraphs, separated by an empty line */
    const GwArgument *arguments; /* up to a row without name; or NULL */
    const GwOption *options;     /* up to a row without name; or NULL */
    const GwExample *examples;   /* up to a row without command */
    const char *requirements;    /* "R5 R6" */
    const GwRecord *body;        /* what its options' keys are fields of, or NULL */
    GwHandler run;
    gboolean offline;         /* needs no controller */
    const char *offline_with; /* an option in place of its arguments, which needs no controller */
    gboolean hidden;          /* for our own completion and build */
} GwCommand;

typedef struct {
    const char *name; /* "vm" */
    const char *summary;
    const char *description;
} GwCommandGroup;

extern const GwCommandGroup gw_command_groups[]; /* ends with a row without name */
extern const GwOption gw_global_options[];

/* Each file of commands has its own list; these end with a row without name. */
extern const GwCommand gw_host_commands[];
extern const GwCommand gw_group_commands[];
extern const GwCommand gw_vm_commands[];
extern const GwCommand gw_job_commands[];
extern const GwCommand gw_kept_commands[];
extern const GwCommand gw_plan_commands[];
extern const GwCommand gw_cpu_commands[];
extern const GwCommand gw_rule_commands[];
extern const GwCommand gw_share_commands[];
extern const GwCommand gw_other_commands[];

/* All commands in the order of help; NULL after the last. */
const GwCommand *gw_command_at(guint index);
const GwCommand *gw_command_find(const char *name);
gboolean gw_command_in_group(const GwCommand *command, const char *group);
const GwCommandGroup *gw_command_group_find(const char *name);
/* The name most like @typed: of commands (@options NULL) or options; NULL where none is near. */
char *gw_command_nearest(const char *typed);
const char *gw_option_nearest(const GwCommand *command, const char *typed);
/* "VM HOST [options]", as shown after the command's name. Free with g_free. */
char *gw_command_usage(const GwCommand *command);
/* The words an option accepts, or NULL. */
const char *const *gw_option_words(const GwOption *option);
/* "--bandwidth MIBPS", "-o, --output table|json|yaml". Free with g_free. */
char *gw_option_usage(const GwOption *option);
