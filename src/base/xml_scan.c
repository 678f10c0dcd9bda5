/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/xml_scan.h"

#include <string.h>

#include "base/error.h"

/* What is skipped whole, since it may hold what looks like markup. */
static const struct {
    const char *begin, *end;
} skipped[] = {
    { "<!--", "-->" },
    { "<![CDATA[", "]]>" },
    { "<?", "?>" },
};

/* Past the part that begins at @p, or NULL where none does. An end that is missing is the end of
 * the text. */
static const char *skip(const char *p)
{
    for (guint i = 0; i < G_N_ELEMENTS(skipped); i++) {
        if (!g_str_has_prefix(p, skipped[i].begin))
            continue;
        const char *end = strstr(p + strlen(skipped[i].begin), skipped[i].end);
        return end != NULL ? end + strlen(skipped[i].end) : p + strlen(p);
    }
    return NULL;
}

/* Past the tag that begins at @p. Each attribute has one value in quotes, which may hold '>'. */
static const char *scan_tag(const char *p, guint *attributes)
{
    char quote = '\0';

    for (*attributes = 0; *p != '\0'; p++) {
        if (quote != '\0') {
            quote = *p == quote ? '\0' : quote;
        } else if (*p == '"' || *p == '\'') {
            quote = *p;
            ++*attributes;
        } else if (*p == '>') {
            return p + 1;
        }
    }
    return p;
}

gboolean gw_xml_scan(const char *text, GError **error)
{
    const char *p = text;

    while ((p = strchr(p, '<')) != NULL) {
        const char *after = skip(p);
        guint attributes = 0;

        if (after == NULL && g_str_has_prefix(p, "<!")) {
            gw_error_set(error, GW_ERR_INVALID, "Take the <!DOCTYPE …> out of it.",
                         "not usable XML: it has a DTD");
            return FALSE;
        }
        p = after != NULL ? after : scan_tag(p, &attributes);
        if (attributes > GW_XML_ATTRIBUTES_MAX) {
            gw_error_set(error, GW_ERR_TOO_LARGE,
                         "Correct the definition on its host (virsh edit).",
                         "not usable XML: an element has %u attributes, at most %d are read",
                         attributes, GW_XML_ATTRIBUTES_MAX);
            return FALSE;
        }
    }
    return TRUE;
}
