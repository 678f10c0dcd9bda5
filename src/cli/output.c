/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/format.h"
#include "cli/session.h"

/* JSON leaves DEL and the C1 controls as they are, and some terminals obey those: write them as
 * escapes, which mean the same to a reader of JSON. (The others below blank are escaped already.)
 */
static char *without_controls(const char *json)
{
    GString *safe = g_string_new(NULL);

    for (const char *p = json; *p != '\0'; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        if (c >= 0x7f && c <= 0x9f)
            g_string_append_printf(safe, "\\u%04x", c);
        else
            g_string_append_unichar(safe, c);
    }
    return g_string_free(safe, FALSE);
}

static void put_json(const char *text)
{
    g_autofree char *safe = without_controls(text);
    fputs(safe, stdout);
}

static void put_yaml(json_t *json)
{
    g_autofree char *text = gw_yaml_text(json);
    fputs(text, stdout);
}

gboolean gw_print_document(GwSession *session, json_t *json)
{
    if (session->settings->output == GW_OUTPUT_TABLE)
        return FALSE;
    if (session->settings->output == GW_OUTPUT_JSON) {
        g_autofree char *text = gw_json_pretty(json);
        put_json(text);
    } else {
        put_yaml(json);
    }
    return TRUE;
}

gboolean gw_print_record(GwSession *session, json_t *json)
{
    if (session->settings->output == GW_OUTPUT_TABLE)
        return FALSE;
    if (session->settings->output == GW_OUTPUT_JSON) {
        g_autofree char *text = gw_json_text(json);
        put_json(text);
        fputc('\n', stdout);
    } else {
        put_yaml(json);
    }
    fflush(stdout);
    return TRUE;
}

void gw_say(const GwSession *session, const char *format, ...)
{
    va_list args;

    if (session->quiet || session->settings->output != GW_OUTPUT_TABLE)
        return;
    va_start(args, format);
    g_autofree char *raw = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *line = gw_format_line(raw);
    g_print("%s\n", line);
}

static void print_finding(const GwSession *session, gsize number, json_t *finding,
                          void (*print)(const char *format, ...))
{
    static const char *const rows[][2] = { { "required", "required" }, { "remedy", "remedy" } };
    const char *severity = gw_at_text(finding, "severity");
    gboolean warning = g_strcmp0(severity, "warning") == 0;
    g_autofree char *observed = gw_format_line(gw_at_text(finding, "observed"));
    g_autofree char *requirement = gw_format_line(gw_at_text(finding, "requirement"));

    print("%2" G_GSIZE_FORMAT ". %s%s%s%s%s\n", number, warning ? "warning: " : "", observed,
          *requirement != '\0' ? " [" : "", requirement, *requirement != '\0' ? "]" : "");
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = gw_format_line(gw_at_text(finding, rows[i][0]));
        if (*text != '\0')
            print("    %s: %s\n", rows[i][1], text);
    }
}

void gw_print_findings(const GwSession *session, json_t *findings, gboolean to_stderr)
{
    for (gsize i = 0; i < json_array_size(findings); i++)
        print_finding(session, i + 1, json_array_get(findings, i),
                      to_stderr ? g_printerr : g_print);
}

/* For scripts: the same shape as the API's problem documents, on one line. */
static void complain_json(const GwSession *session, const GError *error)
{
    const char *word = error->domain == GW_ERROR ? gw_error_code_word((GwErrorCode)error->code)
                                                 : gw_error_code_word(GW_ERR_INTERNAL);
    json_t *findings =
        session->client != NULL ? gw_at(gw_client_problem(session->client), "errors") : NULL;
    g_autoptr(GwJson) problem = json_pack("{s:s,s:s}", "code", word, "detail", error->message);

    if (gw_error_remedy(error) != NULL)
        json_object_set_new(problem, "remedy", json_string(gw_error_remedy(error)));
    if (json_is_array(findings))
        json_object_set(problem, "errors", findings);
    g_autofree char *text = gw_json_text(problem);
    g_autofree char *safe = without_controls(text);
    fprintf(stderr, "%s\n", safe);
}

void gw_complain(const GwSession *session, const GError *error)
{
    if (session != NULL && session->settings->output == GW_OUTPUT_JSON) {
        complain_json(session, error);
        return;
    }
    g_autofree char *message = gw_text_printable(error->message, GW_TEXT_MESSAGE_MAX);
    g_autofree char *remedy = gw_text_printable(gw_error_remedy(error), GW_TEXT_MESSAGE_MAX);
    g_printerr("godwit: %s\n", message);
    json_t *findings = session != NULL && session->client != NULL
                           ? gw_at(gw_client_problem(session->client), "errors")
                           : NULL;
    if (g_error_matches(error, GW_ERROR, GW_ERR_REFUSED) && json_array_size(findings) > 0)
        gw_print_findings(session, findings, TRUE);
    if (*remedy != '\0')
        g_printerr("Remedy: %s\n", remedy);
}
