/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/dumps.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "base/xml.h"
#include "cli/columns.h"
#include "cli/format.h"
#include "cli/plan.h"
#include "model/libvirt_xml.h"
#include "plan/dumps.h"

/* Files ----------------------------------------------------------------------------------- */

/* Of files, pipes and whatever else: no more is read than is taken. */
static gboolean read_all(int fd, GString *text, GError **error)
{
    char buffer[65536];
    gssize got = 0;

    do {
        got = read(fd, buffer, sizeof(buffer));
        if (got > 0)
            g_string_append_len(text, buffer, got);
    } while ((got > 0 && text->len <= GW_XML_MAX) || (got < 0 && errno == EINTR));
    if (got < 0)
        gw_error_set(error, GW_ERR_INVALID, "Give the path of a file that can be read.", "%s",
                     g_strerror(errno));
    return got >= 0;
}

static gboolean check_text(const GString *text, GError **error)
{
    if (text->len > GW_XML_MAX) {
        gw_error_set(error, GW_ERR_INVALID, "Give what virsh printed, alone.",
                     "it holds more than %d bytes, the most that is read", GW_XML_MAX);
        return FALSE;
    }
    if (memchr(text->str, '\0', text->len) != NULL || !g_utf8_validate(text->str, -1, NULL)) {
        gw_error_set(error, GW_ERR_INVALID, "Give what virsh printed, as it was.",
                     "it is no text in UTF-8");
        return FALSE;
    }
    return TRUE;
}

static char *read_text(const char *path, GError **error)
{
    gboolean standard = strcmp(path, "-") == 0;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    g_autoptr(GString) text = g_string_new(NULL);

    if (fd < 0) {
        gw_error_set(error, GW_ERR_INVALID, "Give the path of a file that can be read.", "%s",
                     g_strerror(errno));
        return NULL;
    }
    gboolean fine = read_all(fd, text, error) && check_text(text, error);
    if (!standard)
        close(fd);
    return fine ? g_strdup(text->str) : NULL;
}

/* The file that @option names, NULL where it was not given; @command is what prints it. */
static char *read_option(const GwArgs *args, const char *option, const char *root,
                         const char *command, GError **error)
{
    const char *path = gw_args_text(args, option);
    g_autofree char *text = path != NULL ? read_text(path, error) : NULL;
    g_autoptr(GwXml) xml = text != NULL ? gw_xml_parse(text, error) : NULL;

    if (xml != NULL && strcmp((const char *)gw_xml_root(xml)->name, root) != 0) {
        g_autofree char *remedy = g_strdup_printf("Give what virsh %s prints.", command);
        gw_error_set(error, GW_ERR_INVALID, remedy, "a <%.100s>, required is a <%s>",
                     (const char *)gw_xml_root(xml)->name, root);
        g_clear_pointer(&text, g_free);
    }
    if (path != NULL && (text == NULL || xml == NULL))
        g_prefix_error(error, "--%s %s: ", option, path);
    return xml != NULL ? g_steal_pointer(&text) : NULL;
}

/* Hosts ----------------------------------------------------------------------------------- */

static GwHostFacts *read_host(const GwArgs *args, const char *option, GError **error)
{
    g_autofree char *text = read_option(args, option, "capabilities", "capabilities", error);
    g_autoptr(GwHostFacts) facts = gw_host_facts_new();

    if (text == NULL)
        return NULL;
    if (gw_libvirt_capabilities_into(facts, text, error))
        return g_steal_pointer(&facts);
    g_prefix_error(error, "--%s %s: ", option, gw_args_text(args, option));
    return NULL;
}

/* Both dumps are of one host, so of one architecture. */
static gboolean check_arch(GwHostFacts *facts, const char *text, GError **error)
{
    g_autoptr(GwXml) xml = gw_xml_parse(text, error);
    g_autofree char *arch =
        xml != NULL ? gw_xml_string(xml, NULL, "/domainCapabilities/arch") : NULL;

    if (xml == NULL)
        return FALSE;
    if (facts->arch != NULL && arch != NULL && strcmp(facts->arch, arch) != 0) {
        gw_error_set(error, GW_ERR_INVALID, "Give both of one host: virsh domcapabilities there.",
                     "it is of architecture %.100s, --capabilities of %s", arch, facts->arch);
        return FALSE;
    }
    if (facts->arch == NULL && arch != NULL && strlen(arch) <= GW_TEXT_NAME_MAX)
        facts->arch = g_steal_pointer(&arch);
    return TRUE;
}

/* The host's own model stays that of its capabilities: it is compared with the source's, of which
 * there is nothing else. */
static void add_cpu(GwHostFacts *facts, GwHostCpu *cpu)
{
    facts->vm_cpus = gw_record_array(&gw_host_cpu_record);
    g_ptr_array_add(facts->vm_cpus, cpu);
}

static GwHostFacts *read_destination(const GwArgs *args, GError **error)
{
    g_autoptr(GError) own = NULL;
    g_autoptr(GwHostFacts) facts = read_host(args, "capabilities", &own);
    g_autofree char *text = own == NULL ? read_option(args, "domain-capabilities",
                                                      "domainCapabilities", "domcapabilities", &own)
                                        : NULL;

    if (text != NULL) {
        if (facts == NULL)
            facts = gw_host_facts_new();
        GwHostCpu *cpu = gw_libvirt_host_cpu_from_xml(text);
        if (cpu != NULL)
            add_cpu(facts, cpu);
        if (!check_arch(facts, text, &own))
            g_prefix_error(&own,
                           "--domain-capabilities %s: ", gw_args_text(args, "domain-capabilities"));
    }
    if (own == NULL)
        return g_steal_pointer(&facts);
    g_propagate_error(error, g_steal_pointer(&own));
    return NULL;
}

static gboolean check_options(const GwArgs *args, GError **error)
{
    static const char *const files[] = { "domain-xml", "capabilities", "domain-capabilities",
                                         "source-capabilities" };
    guint standard = 0;

    for (guint i = 0; i < G_N_ELEMENTS(files); i++)
        standard += g_strcmp0(gw_args_text(args, files[i]), "-") == 0;
    if (standard > 1) {
        gw_error_set(error, GW_ERR_INVALID, "Give the others as files.",
                     "only one dump can come from standard input");
        return FALSE;
    }
    return TRUE;
}

static GwExplanation *explain(const GwArgs *args, GError **failure)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwVm) vm = NULL;
    g_autoptr(GwHostFacts) source = NULL;
    g_autoptr(GwHostFacts) destination = NULL;
    g_autofree char *text = NULL;

    if (check_options(args, &error))
        text = read_option(args, "domain-xml", "domain", "dumpxml", &error);
    if (error == NULL) {
        vm = gw_libvirt_vm_from_xml(text, &error);
        if (vm == NULL)
            g_prefix_error(&error, "--domain-xml %s: ", gw_args_text(args, "domain-xml"));
    }
    if (error == NULL)
        source = read_host(args, "source-capabilities", &error);
    if (error == NULL)
        destination = read_destination(args, &error);
    if (error != NULL) {
        g_propagate_error(failure, g_steal_pointer(&error));
        return NULL;
    }
    const GwDumps dumps = { vm, gw_args_has(args, "off"), source, destination };
    return gw_plan_explain_dumps(&dumps);
}

/* Output ---------------------------------------------------------------------------------- */

static char *show_verdict(GwSession *session, json_t *row, const char *path)
{
    return g_strdup(gw_at_true(row, path) ? "refused" : "not refused by what the dumps tell");
}

const GwColumn gw_explanation_sheet[] = {
    { "VM", "vm_name" },      { "UUID", "vm_uuid" },
    { "Judged as", "state" }, { "Verdict", "refused", show_verdict },
    { .header = NULL },
};

const GwColumn gw_outlook_columns[] = {
    { "TRANSFER", "transfer" },
    { "POSSIBLE", "possible", gw_show_yes_no },
    { "EXPLANATION", "explanation", .wrap = TRUE },
    { .header = NULL },
};

const GwColumn gw_untold_columns[] = {
    { "SUBJECT", "subject" },
    { "REQUIRED", "required", .wrap = TRUE },
    { "HOW TO LEARN IT", "tells", .wrap = TRUE },
    { .header = NULL },
};

static void print_outlook(GwSession *session, json_t *outlook)
{
    json_t *depends = gw_at(outlook, "depends");
    json_t *findings = gw_at(outlook, "findings");
    g_autofree char *type = gw_format_line(gw_at_text(outlook, "transfer"));
    g_autofree char *on = g_strdup_printf("%s depends on", type);
    g_autofree char *alone = g_strdup_printf("%s: findings", type);

    if (json_array_size(depends) > 0) {
        gw_print_heading(session, on);
        gw_print_lines(depends);
    }
    if (json_array_size(findings) > 0) {
        gw_print_heading(session, alone);
        gw_print_findings(session, findings, FALSE);
    }
}

static void print_explanation(GwSession *session, json_t *explanation)
{
    json_t *findings = gw_at(explanation, "findings");
    json_t *transfers = gw_at(explanation, "transfers");

    gw_print_sheet(session, gw_explanation_sheet, explanation);
    if (json_array_size(findings) > 0) {
        gw_print_heading(session, "Findings");
        gw_print_findings(session, findings, FALSE);
    }
    gw_print_heading(session, "Deployment and Transfer Explanation");
    gw_print_table(session, gw_outlook_columns, transfers);
    for (gsize i = 0; i < json_array_size(transfers); i++)
        print_outlook(session, json_array_get(transfers, i));
    gw_print_heading(session, "Not told by the dumps");
    gw_print_table(session, gw_untold_columns, gw_at(explanation, "untold"));
}

int gw_explain_dumps(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwExplanation) explanation = explain(args, error);

    if (explanation == NULL)
        return GW_EXIT_USAGE;
    g_autoptr(GwJson) json = gw_record_to_json(&gw_explanation_record, explanation);
    if (!gw_print_document(session, json))
        print_explanation(session, json);
    return explanation->refused ? GW_EXIT_REFUSED : GW_EXIT_OK;
}
