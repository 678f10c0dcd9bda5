/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>

#include "base/xml.h"

static void xml_refused(const char *text, GwErrorCode code, const char *part)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwXml) xml = gw_xml_parse(text, &error);
    assert_null(xml);
    unit_assert_error(error, code, part);
}

static void test_xml_reads_a_definition(void **state)
{
    g_autoptr(GwXml) xml =
        gw_xml_parse("<domain type='kvm'><name>web &amp; db</name><vcpu>4</vcpu><bad>-4</bad><big>"
                     "99999999999999999999</big><padded> 17 </padded><devices><disk dev='vda'/>"
                     "<disk dev='vdb'><source file='/a'/></disk></devices></domain>",
                     NULL);
    assert_non_null(xml);
    g_autofree char *name = gw_xml_string(xml, NULL, "name");
    g_autofree char *type = gw_xml_string(xml, NULL, "@type");
    g_autofree char *none = gw_xml_string(xml, NULL, "title");
    g_autofree char *broken = gw_xml_string(xml, NULL, "name[");
    assert_string_equal(name, "web & db");
    assert_string_equal(type, "kvm");
    assert_null(none);
    assert_null(broken);
    assert_int_equal(gw_xml_int(xml, NULL, "vcpu", -1), 4);
    assert_int_equal(gw_xml_int(xml, NULL, "padded", -1), 17);
    assert_int_equal(gw_xml_int(xml, NULL, "bad", -1), -1);
    assert_int_equal(gw_xml_int(xml, NULL, "big", -1), -1);
    assert_int_equal(gw_xml_int(xml, NULL, "name", -1), -1);
    assert_int_equal(gw_xml_int(xml, NULL, "absent", 7), 7);

    g_autoptr(GPtrArray) disks = gw_xml_nodes(xml, NULL, "devices/disk");
    assert_int_equal(disks->len, 2);
    g_autofree char *second = gw_xml_string(xml, disks->pdata[1], "@dev");
    assert_string_equal(second, "vdb");
    assert_false(gw_xml_has(xml, disks->pdata[0], "source"));
    assert_true(gw_xml_has(xml, disks->pdata[1], "source"));
    g_autofree char *dump = gw_xml_dump(xml, disks->pdata[1]);
    assert_string_equal(dump, "<disk dev=\"vdb\"><source file=\"/a\"/></disk>");
}

static void test_xml_is_utf8_whatever_it_declares(void **state)
{
    static const char *const before[] = { "", "\xef\xbb\xbf", "<?xml version='1.0'?>",
                                          "\xef\xbb\xbf<?xml version='1.0' encoding='UTF-8'?>",
                                          "<?xml version='1.0' encoding='ISO-8859-1'?>" };

    for (guint i = 0; i < G_N_ELEMENTS(before); i++) {
        g_autofree char *text = g_strconcat(before[i], "<a><b>\xc3\xa9</b></a>", NULL);
        g_autoptr(GError) error = NULL;
        g_autoptr(GwXml) xml = gw_xml_parse(text, &error);
        assert_null(error);
        g_autofree char *b = gw_xml_string(xml, NULL, "b");
        assert_string_equal(b, "\xc3\xa9");
    }
}

static void test_xml_malformed(void **state)
{
    static const char *const texts[] = {
        "",         "   ",      "no markup",   "<a>",         "<a></b>",
        "<a b=1/>", "<a/><b/>", "<a>\x01</a>", "<a>\xff</a>", "<a>&undefined;</a>"
    };
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        xml_refused(texts[i], GW_ERR_INVALID, "not usable XML: ");
}

static void test_xml_bombs_and_entities(void **state)
{
    GString *bomb = g_string_new("<!DOCTYPE b [<!ENTITY e0 \"ha\">");
    for (int i = 1; i < 30; i++)
        g_string_append_printf(bomb, "<!ENTITY e%d \"&e%d;&e%d;&e%d;&e%d;\">", i, i - 1, i - 1,
                               i - 1, i - 1);
    g_autofree char *in_text = g_strconcat(bomb->str, "]><b>&e29;</b>", NULL);
    g_autofree char *in_attribute = g_strconcat(bomb->str, "]><b a='&e29;'/>", NULL);
    gint64 began = g_get_monotonic_time();
    xml_refused(in_text, GW_ERR_INVALID, "not usable XML");
    xml_refused(in_attribute, GW_ERR_INVALID, "not usable XML");
    assert_true(g_get_monotonic_time() - began < 2 * G_USEC_PER_SEC);
    g_string_free(bomb, TRUE);

    xml_refused("<!DOCTYPE a><a/>", GW_ERR_INVALID, "DTD");
    xml_refused("<!DOCTYPE a SYSTEM 'http://203.0.113.1/a.dtd'><a/>", GW_ERR_INVALID, "DTD");
    xml_refused("<!DOCTYPE a [<!ENTITY f SYSTEM 'file:///etc/passwd'>]><a>&f;</a>", GW_ERR_INVALID,
                "DTD");
    xml_refused("<!DOCTYPE a [<!ENTITY % p SYSTEM 'http://203.0.113.1/p'> %p;]><a/>",
                GW_ERR_INVALID, "DTD");
}

/* An element with so many attributes, each with what an attribute may hold. */
static char *attributes(guint count)
{
    GString *text = g_string_new("<a><!-- <b '> --><![CDATA[<c \"]]><?d <e '?><f");

    for (guint i = 0; i < count; i++)
        g_string_append_printf(text, " a%u=%s", i, i % 2 == 0 ? "'\">'" : "\"'>\"");
    g_string_append(text, "/></a>");
    return g_string_free(text, FALSE);
}

/* libxml2 needs the square of their number. */
static void test_xml_attributes(void **state)
{
    g_autofree char *most = attributes(512);
    g_autofree char *more = attributes(513);
    g_autofree char *many = attributes(200000);
    g_autoptr(GwXml) xml = gw_xml_parse(most, NULL);

    assert_non_null(xml);
    g_autofree char *last = gw_xml_string(xml, NULL, "f/@a511");
    assert_string_equal(last, "'>");
    xml_refused(more, GW_ERR_TOO_LARGE, "an element has 513 attributes, at most 512 are read");
    xml_refused(many, GW_ERR_TOO_LARGE, "an element has 200000 attributes");
    /* What hides from who looks at the bytes: +ADw- is '<' in UTF-7. */
    xml_refused("<?xml version='1.0' encoding='UTF-7'?>+ADw-a b='1'/>", GW_ERR_INVALID,
                "not usable XML");
    /* Cut off anywhere it is no more than malformed. */
    for (gsize at = strlen("<a>"); at < strlen("<a><!-- <b '> --><![CDATA[<c \"]]><?d <e '?><f");
         at++) {
        g_autofree char *cut = g_strndup(most, at);
        xml_refused(cut, GW_ERR_INVALID, "not usable XML");
    }
}

/* Elements of as many attributes in what the scan skips, behind the first error of the text: read
 * at all, they take hours. */
static void test_xml_attributes_behind_an_error(void **state)
{
    static const struct {
        const char *before, *after;
    } hidden[] = {
        { "<r><a x=\"<b", "/>\"/></r>" },
        { "<?xml version=\"1.0\" ><r><b", "/></r>?>" },
        { "<?xml version=\"1.0\"?><r><?p \x01<b", "/>?></r>" },
        { "<r><![CDATA[\x01<b", "/>]]></r>" },
        { "<r><!-- \x01<b", "/>--></r>" },
        { "<r><!-- -- <b", "/>--></r>" },
        { "<r></s><a x=\"<b", "/>\"/></r>" },
        { "<r/><?p \x01<b", "/>?>" },
    };
    GString *attributes = g_string_new(NULL);

    for (guint i = 0; i < 400000; i++)
        g_string_append_printf(attributes, " a%x=''", i);
    for (guint i = 0; i < G_N_ELEMENTS(hidden); i++) {
        g_autofree char *text =
            g_strconcat(hidden[i].before, attributes->str, hidden[i].after, NULL);
        xml_refused(text, GW_ERR_INVALID, "not usable XML");
    }
    /* Elements that never end their tags nest as deep as there are any. */
    g_string_assign(attributes, "<r>");
    for (guint i = 0; i < 1000000; i++)
        g_string_append(attributes, "<b ");
    xml_refused(attributes->str, GW_ERR_INVALID, "not usable XML");
    g_string_free(attributes, TRUE);
}

static void test_xml_ceiling_and_depth(void **state)
{
    enum { TEN_MB = 10 * 1024 * 1024, DEEP = 100000 };
    g_autofree char *filler = g_strnfill(TEN_MB, 'x');
    g_autofree char *large = g_strconcat("<a>", filler, "</a>", NULL);
    xml_refused(large, GW_ERR_TOO_LARGE, "10485767 bytes");

    GString *deep = g_string_new(NULL);
    for (int i = 0; i < DEEP; i++)
        g_string_append(deep, "<a>");
    for (int i = 0; i < DEEP; i++)
        g_string_append(deep, "</a>");
    xml_refused(deep->str, GW_ERR_INVALID, "not usable XML");
    g_string_free(deep, TRUE);
}

static gpointer parse_many(gpointer data)
{
    guint good = 0;
    for (int i = 0; i < 200; i++) {
        g_autoptr(GwXml) sound = gw_xml_parse("<a><b>1</b></a>", NULL);
        g_autoptr(GwXml) broken = gw_xml_parse("<a><b>1</a>", NULL);
        good += sound != NULL && broken == NULL && gw_xml_int(sound, NULL, "b", 0) == 1;
    }
    return GUINT_TO_POINTER(good);
}

static void test_xml_in_threads(void **state)
{
    GThread *threads[4];
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("xml", parse_many, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        assert_int_equal(GPOINTER_TO_UINT(g_thread_join(threads[i])), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_xml_reads_a_definition),
        cmocka_unit_test(test_xml_malformed),
        cmocka_unit_test(test_xml_is_utf8_whatever_it_declares),
        cmocka_unit_test(test_xml_bombs_and_entities),
        cmocka_unit_test(test_xml_attributes),
        cmocka_unit_test(test_xml_attributes_behind_an_error),
        cmocka_unit_test(test_xml_ceiling_and_depth),
        cmocka_unit_test(test_xml_in_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
