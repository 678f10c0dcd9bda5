/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include "api/certificate.h"
#include "api/internal.h"
#include "api/route.h"
#include "api/target.h"
#include "base/error.h"

#define EACH_ROUTE(route)                                                                          \
    for (guint t_ = 0; gw_routes[t_] != NULL; t_++)                                                \
        for (const GwRoute *route = gw_routes[t_]; route->method != NULL; route++)

/* Routes ------------------------------------------------------------------------------------- */

static void every_row_is_complete(void **state)
{
    guint count = 0;

    EACH_ROUTE(route)
    {
        print_message("# %s %s\n", route->method, route->path);
        assert_true(route->summary != NULL && g_str_has_suffix(route->summary, "."));
        assert_true(route->requirement != NULL && route->requirement[0] == 'R');
        assert_non_null(route->operation);
        assert_non_null(route->handler);
        assert_true(route->answers[0].status >= 200 && route->answers[0].status < 300);
        for (const GwAnswer *a = route->answers; a->status != 0; a++) {
            gboolean has_record = a->kind == GW_ANSWER_RECORD || a->kind == GW_ANSWER_PAGE ||
                                  a->kind == GW_ANSWER_ITEMS;
            assert_true(has_record == (a->record != NULL));
            assert_true(a->doc != NULL && *a->doc != '\0');
        }
        count++;
    }
    assert_int_equal(count, 59);
}

static void only_reading_needs_no_more_than_read(void **state)
{
    EACH_ROUTE(route)
    {
        /* An agent has nothing but its join token, which it sends in the body. */
        gboolean joins = strcmp(route->path, "/api/v1/agents/join") == 0;
        if (strcmp(route->method, "GET") != 0)
            assert_true(route->role >= GW_ROLE_OPERATE || joins);
        else
            assert_true(route->role <= GW_ROLE_READ && route->body == NULL);
        if (route->role == GW_ROLE_PUBLIC)
            assert_true(joins || strcmp(route->path, "/healthz") == 0 ||
                        strcmp(route->path, "/api/v1/openapi.json") == 0);
        if (joins)
            assert_true(route->secret && route->body_max > 0);
    }
}

static void rows_and_operations_are_unique(void **state)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    EACH_ROUTE(route)
    {
        assert_true(g_hash_table_add(seen, g_strdup(route->operation)));
        assert_true(g_hash_table_add(seen, g_strdup_printf("%s %s", route->method, route->path)));
    }
}

/* A row's own path, with an id in its place, finds that row and no other. */
static void every_row_is_found(void **state)
{
    EACH_ROUTE(route)
    {
        g_autofree char *id = NULL;
        g_autofree char *allow = NULL;
        g_auto(GStrv) segments = g_strsplit(route->path + 1, "/", 0);
        for (guint i = 0; segments[i] != NULL; i++) {
            if (strcmp(segments[i], "{id}") == 0) {
                g_free(segments[i]);
                segments[i] = g_strdup("a/b c");
            }
        }
        assert_ptr_equal(gw_route_find(route->method, segments, &id, &allow), route);
        assert_null(allow);
        if (strstr(route->path, "{id}") != NULL)
            assert_string_equal(id, "a/b c");
        else
            assert_null(id);
    }
}

static void other_paths_are_not_found(void **state)
{
    static const char *const paths[] = { "",         "api",           "api/v1",
                                         "x",        "api/v1/hosts/", "api/v1/hosts/a/b",
                                         "healthz/", "api/v1/host",   "api/v1/hostss" };

    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *id = NULL;
        g_autofree char *allow = NULL;
        g_auto(GStrv) segments = g_strsplit(paths[i], "/", 0);
        assert_null(gw_route_find("GET", segments, &id, &allow));
        assert_null(allow);
    }
}

/* OpenAPI ------------------------------------------------------------------------------------ */

static void assert_reference(json_t *document, const char *reference)
{
    g_auto(GStrv) parts = g_strsplit(reference, "/", 0);
    json_t *at = document;

    assert_string_equal(parts[0], "#");
    for (guint i = 1; parts[i] != NULL; i++)
        at = json_object_get(at, parts[i]);
    if (at == NULL)
        fail_msg("%s leads nowhere", reference);
}

static guint assert_references(json_t *document, json_t *at)
{
    const char *key;
    json_t *value;
    gsize i;
    guint count = 0;

    json_object_foreach (at, key, value) {
        if (strcmp(key, "$ref") == 0) {
            assert_reference(document, json_string_value(value));
            count++;
        }
        count += assert_references(document, value);
    }
    json_array_foreach (at, i, value) {
        count += assert_references(document, value);
    }
    return count;
}

static void every_reference_resolves(void **state)
{
    g_autoptr(GwJson) document = gw_api_openapi();

    assert_non_null(document);
    assert_true(assert_references(document, document) > 60);
}

/* Every schema names only records it can describe: no key of an internal field, all documented. */
static void schemas_are_documented(void **state)
{
    g_autoptr(GwJson) document = gw_api_openapi();
    json_t *schemas = json_object_get(json_object_get(document, "components"), "schemas");
    const char *name, *field;
    json_t *schema, *property;

    assert_true(json_object_size(schemas) > 25);
    json_object_foreach (schemas, name, schema) {
        assert_string_equal(json_string_value(json_object_get(schema, "type")), "object");
        json_object_foreach (json_object_get(schema, "properties"), field, property) {
            if (strcmp(field, "items") != 0 && json_object_get(property, "description") == NULL)
                fail_msg("%s.%s has no description", name, field);
            assert_string_not_equal(field, "cpu_xml");
            assert_string_not_equal(field, "saved_xml");
        }
    }
}

static void assert_operation(const char *path, json_t *operation)
{
    json_t *responses = json_object_get(operation, "responses");
    const char *status;
    json_t *response, *parameter;
    gsize i;
    gboolean id = FALSE;

    assert_non_null(json_object_get(operation, "summary"));
    assert_non_null(json_object_get(responses, "default"));
    assert_true(json_object_size(responses) >= 2);
    json_object_foreach (responses, status, response) {
        if (strcmp(status, "default") != 0 && strcmp(status, "204") != 0)
            assert_non_null(json_object_get(response, "content"));
    }
    json_array_foreach (json_object_get(operation, "parameters"), i, parameter) {
        id = id || strcmp(json_string_value(json_object_get(parameter, "in")), "path") == 0;
    }
    assert_true(id == (strstr(path, "{id}") != NULL));
}

static void every_operation_is_described(void **state)
{
    g_autoptr(GwJson) document = gw_api_openapi();
    const char *path, *method;
    json_t *methods, *operation;
    guint count = 0;

    json_object_foreach (json_object_get(document, "paths"), path, methods) {
        json_object_foreach (methods, method, operation) {
            assert_operation(path, operation);
            count++;
        }
    }
    assert_int_equal(count, 59);
}

static void a_merge_takes_what_can_be_set(void **state)
{
    g_autoptr(GwJson) document = gw_api_openapi();
    json_t *schemas = json_object_get(json_object_get(document, "components"), "schemas");
    json_t *merge = json_object_get(schemas, "HostMerge");
    json_t *properties = json_object_get(merge, "properties");

    assert_null(json_object_get(merge, "required"));
    assert_non_null(json_object_get(properties, "live_limit"));
    assert_null(json_object_get(properties, "status"));
    assert_null(json_object_get(properties, "id"));
}

/* Targets ------------------------------------------------------------------------------------ */

static void targets_are_decoded(void **state)
{
    g_auto(GStrv) segments = NULL;
    g_autoptr(GHashTable) query = NULL;

    assert_true(gw_target_parse("/a%2Fb/%C3%BC//c?x=1+2&y&%7a=%26", &segments, &query, NULL));
    assert_int_equal(g_strv_length(segments), 4);
    assert_string_equal(segments[0], "a/b");
    assert_string_equal(segments[1], "\xc3\xbc");
    assert_string_equal(segments[2], "");
    assert_string_equal(segments[3], "c");
    assert_string_equal(g_hash_table_lookup(query, "x"), "1 2");
    assert_string_equal(g_hash_table_lookup(query, "y"), "");
    assert_string_equal(g_hash_table_lookup(query, "z"), "&");
}

static void hostile_targets_are_refused(void **state)
{
    static const char *const targets[] = {
        "",        "*",       "a",      "?x",         "/%",       "/%1",        "/%0g", "/%00",
        "/a%0a",   "/%7F",    "/\x01",  "/%ff",       "/%c0%af",  "/%ed%a0%80", "/.",   "/..",
        "/a/../b", "/%2e%2E", "/a?x=%", "/a?x=1&x=2", "/a?%00=1", "/a?x=%0d",   "x://",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(targets); i++) {
        g_auto(GStrv) segments = NULL;
        g_autoptr(GHashTable) query = NULL;
        g_autoptr(GError) error = NULL;
        gboolean taken = gw_target_parse(targets[i], &segments, &query, &error);
        /* An absolute form without a path is its root. */
        if (strcmp(targets[i], "x://") == 0)
            assert_true(taken);
        else if (taken)
            fail_msg("'%s' was taken", targets[i]);
        else
            assert_true(g_error_matches(error, GW_ERROR, GW_ERR_INVALID));
    }
}

static void a_long_target_is_refused(void **state)
{
    g_autofree char *tail = g_strnfill(GW_TARGET_MAX, 'a');
    g_autofree char *target = g_strconcat("/", tail, NULL);
    g_auto(GStrv) segments = NULL;
    g_autoptr(GHashTable) query = NULL;
    g_autoptr(GError) error = NULL;

    assert_false(gw_target_parse(target, &segments, &query, &error));
    assert_true(g_error_matches(error, GW_ERROR, GW_ERR_TOO_LARGE));
}

/* Certificates ------------------------------------------------------------------------------- */

#define NOW (G_GINT64_CONSTANT(1800000000) * G_USEC_PER_SEC)
#define DAYS(n) ((gint64)(n)*86400 * G_USEC_PER_SEC)

typedef struct {
    char *folder, *certificate, *key, *authority, *authority_key;
} Folder;

static int make_folder(void **state)
{
    Folder *f = g_new0(Folder, 1);
    f->folder = g_dir_make_tmp("godwit-tls-XXXXXX", NULL);
    f->certificate = g_build_filename(f->folder, "server.pem", NULL);
    f->key = g_build_filename(f->folder, "server-key.pem", NULL);
    f->authority = g_build_filename(f->folder, "ca.pem", NULL);
    f->authority_key = g_build_filename(f->folder, "ca-key.pem", NULL);
    *state = f;
    return f->folder != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    Folder *f = *state;
    char *const files[] = { f->certificate, f->key, f->authority, f->authority_key };

    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        g_unlink(files[i]);
        g_free(files[i]);
    }
    int status = g_rmdir(f->folder);
    g_free(f->folder);
    g_free(f);
    return status;
}

static GwCertificate *ensure(const Folder *f, gint64 now, GError **error)
{
    static const char *const names[] = { "godwit.example.org", "192.0.2.7", NULL };
    return gw_certificate_ensure(f->certificate, f->key, names, now, error);
}

static char *content(const char *path)
{
    char *text = NULL;
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

static guint mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}

static void certificates_are_made_once(void **state)
{
    Folder *f = *state;
    g_autoptr(GError) error = NULL;
    g_autoptr(GwCertificate) first = ensure(f, NOW, &error);

    assert_null(error);
    assert_non_null(first);
    assert_int_equal(mode_of(f->key), 0600);
    assert_int_equal(mode_of(f->authority_key), 0600);
    g_autoptr(GwCertificate) again = ensure(f, NOW + DAYS(100), &error);
    assert_non_null(again);
    assert_string_equal(first->certificate, again->certificate);
    assert_string_equal(first->key, again->key);
}

static void a_certificate_is_renewed_under_the_same_authority(void **state)
{
    Folder *f = *state;
    g_autoptr(GwCertificate) first = ensure(f, NOW, NULL);
    g_autofree char *authority = content(f->authority);

    g_autoptr(GwCertificate) kept = ensure(f, NOW + DAYS(739), NULL);
    assert_string_equal(first->certificate, kept->certificate);
    g_autoptr(GwCertificate) renewed = ensure(f, NOW + DAYS(741), NULL);
    assert_string_not_equal(first->certificate, renewed->certificate);
    assert_string_equal(first->key, renewed->key);
    g_autofree char *same = content(f->authority);
    assert_string_equal(authority, same);
}

static void a_foreign_certificate_is_never_replaced(void **state)
{
    Folder *f = *state;
    g_autoptr(GwCertificate) first = ensure(f, NOW, NULL);

    assert_int_equal(g_unlink(f->authority_key), 0);
    g_autoptr(GwCertificate) expired = ensure(f, NOW + DAYS(2000), NULL);
    assert_string_equal(first->certificate, expired->certificate);
}

static void assert_refused(const Folder *f, const char *part)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwCertificate) none = ensure(f, NOW, &error);

    assert_null(none);
    assert_true(g_error_matches(error, GW_ERROR, GW_ERR_INVALID));
    if (strstr(error->message, part) == NULL)
        fail_msg("'%s' does not say '%s'", error->message, part);
    assert_non_null(gw_error_remedy(error));
}

static void what_does_not_fit_is_refused(void **state)
{
    Folder *f = *state;
    g_autoptr(GwCertificate) first = ensure(f, NOW, NULL);
    assert_non_null(first);
    g_autofree char *authority_key = content(f->authority_key);

    assert_int_equal(g_chmod(f->key, 0644), 0);
    assert_refused(f, "can be read");
    assert_int_equal(g_chmod(f->key, 0600), 0);
    assert_true(g_file_set_contents(f->key, authority_key, -1, NULL));
    assert_int_equal(g_chmod(f->key, 0600), 0);
    assert_refused(f, "does not belong");
    assert_true(g_file_set_contents(f->key, "no key", -1, NULL));
    assert_int_equal(g_chmod(f->key, 0600), 0);
    assert_refused(f, "key");
    assert_int_equal(g_unlink(f->key), 0);
    assert_refused(f, "has no key");
}

/* A start that was cut off between key and certificate goes on with the key. */
static void a_lone_key_gets_its_certificate(void **state)
{
    Folder *f = *state;
    g_autoptr(GwCertificate) first = ensure(f, NOW, NULL);

    assert_int_equal(g_unlink(f->certificate), 0);
    g_autoptr(GwCertificate) second = ensure(f, NOW, NULL);
    assert_string_equal(first->key, second->key);
    assert_string_not_equal(first->certificate, second->certificate);
}

/* Starting ----------------------------------------------------------------------------------- */

static void assert_start_refused(const GwApiConfig *config, GwErrorCode code)
{
    g_autoptr(GError) error = NULL;

    assert_null(gw_api_start(NULL, config, &error));
    assert_true(g_error_matches(error, GW_ERROR, (int)code));
    assert_non_null(gw_error_remedy(error));
}

static void bad_configurations_are_refused(void **state)
{
    GwApiConfig config = GW_API_CONFIG_DEFAULT;

    assert_start_refused(&config, GW_ERR_INVALID); /* TLS without paths */
    config.plain = TRUE;
    config.address = "0.0.0.0"; /* tokens in clear */
    assert_start_refused(&config, GW_ERR_INVALID);
    config.address = "localhost"; /* no address */
    assert_start_refused(&config, GW_ERR_INVALID);
}

static void a_used_port_is_refused(void **state)
{
    GwApiConfig config = GW_API_CONFIG_DEFAULT;
    g_autoptr(GError) error = NULL;

    config.plain = TRUE;
    config.port = 0;
    GwApi *first = gw_api_start(NULL, &config, &error);
    assert_non_null(first);
    config.port = gw_api_port(first);
    assert_true(config.port != 0);
    assert_start_refused(&config, GW_ERR_CONFLICT);
    gw_api_stop(first);
    GwApi *second = gw_api_start(NULL, &config, &error);
    assert_non_null(second);
    assert_int_equal(gw_api_port(second), config.port);
    gw_api_stop(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_complete),
        cmocka_unit_test(only_reading_needs_no_more_than_read),
        cmocka_unit_test(rows_and_operations_are_unique),
        cmocka_unit_test(every_row_is_found),
        cmocka_unit_test(other_paths_are_not_found),
        cmocka_unit_test(every_reference_resolves),
        cmocka_unit_test(schemas_are_documented),
        cmocka_unit_test(every_operation_is_described),
        cmocka_unit_test(a_merge_takes_what_can_be_set),
        cmocka_unit_test(targets_are_decoded),
        cmocka_unit_test(hostile_targets_are_refused),
        cmocka_unit_test(a_long_target_is_refused),
        cmocka_unit_test_setup_teardown(certificates_are_made_once, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_certificate_is_renewed_under_the_same_authority,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_foreign_certificate_is_never_replaced, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_refused, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_lone_key_gets_its_certificate, make_folder,
                                        remove_folder),
        cmocka_unit_test(bad_configurations_are_refused),
        cmocka_unit_test(a_used_port_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
