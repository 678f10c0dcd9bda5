/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "api/api.h"
#include "api/route.h"

/* The document follows from the route rows and the records: nothing is said here twice. */

static json_t *reference(const char *kind, const char *name, const char *suffix)
{
    return json_pack("{s:s+++}", "$ref", "#/components/", kind, name, suffix);
}

/* Schemas ------------------------------------------------------------------------------------ */

static void add_schema(json_t *schemas, const GwRecord *record)
{
    if (record == NULL || json_object_get(schemas, record->name) != NULL)
        return;
    json_object_set_new(schemas, record->name, gw_record_schema(record));
    for (const GwField *f = record->fields; f->name != NULL; f++) {
        if ((f->flags & GW_INTERNAL) == 0)
            add_schema(schemas, f->of);
    }
}

/* What a merge takes: nothing is required, and what cannot be set is not there. */
static void add_change_schema(json_t *schemas, const GwRecord *record)
{
    g_autofree char *name = g_strconcat(record->name, "Merge", NULL);
    json_t *schema = gw_record_schema(record);
    json_t *properties = json_object_get(schema, "properties");

    for (const GwField *f = record->fields; f->name != NULL; f++) {
        if ((f->flags & GW_READ_ONLY) != 0)
            json_object_del(properties, f->name);
    }
    json_object_del(schema, "required");
    json_object_set_new(schemas, name, schema);
}

static void add_list_schema(json_t *schemas, const GwAnswer *answer)
{
    gboolean pages = answer->kind == GW_ANSWER_PAGE;
    g_autofree char *name = g_strconcat(answer->record->name, pages ? "Page" : "List", NULL);
    json_t *properties = json_pack("{s:{s:s, s:o}}", "items", "type", "array", "items",
                                   reference("schemas/", answer->record->name, ""));

    if (pages)
        json_object_set_new(properties, "next",
                            json_pack("{s:s, s:s}", "type", "string", "description",
                                      "The cursor of the next page; absent on the last."));
    json_object_set_new(schemas, name,
                        json_pack("{s:s, s:[s], s:o}", "type", "object", "required", "items",
                                  "properties", properties));
}

static void add_route_schemas(json_t *schemas, const GwRoute *route)
{
    if (route->body != NULL && route->merge)
        add_change_schema(schemas, route->body);
    add_schema(schemas, route->body);
    for (const GwAnswer *a = route->answers; a->status != 0; a++) {
        add_schema(schemas, a->record);
        if (a->kind == GW_ANSWER_PAGE || a->kind == GW_ANSWER_ITEMS)
            add_list_schema(schemas, a);
    }
}

/* Operations --------------------------------------------------------------------------------- */

static json_t *answer_schema(const GwAnswer *answer)
{
    switch (answer->kind) {
    case GW_ANSWER_RECORD:
        return reference("schemas/", answer->record->name, "");
    case GW_ANSWER_PAGE:
        return reference("schemas/", answer->record->name, "Page");
    case GW_ANSWER_ITEMS:
        return reference("schemas/", answer->record->name, "List");
    case GW_ANSWER_EVENTS:
        return json_pack("{s:s}", "type", "string");
    case GW_ANSWER_JSON:
        return json_pack("{s:s}", "type", "object");
    case GW_ANSWER_EMPTY:
        break;
    }
    return NULL;
}

static json_t *describe_answer(const GwAnswer *answer)
{
    json_t *response = json_pack("{s:s}", "description", answer->doc);
    json_t *schema = answer_schema(answer);
    const char *type = answer->kind == GW_ANSWER_EVENTS ? "text/event-stream" : "application/json";

    if (schema != NULL)
        json_object_set_new(response, "content", json_pack("{s:{s:o}}", type, "schema", schema));
    if (answer->status == 201 || answer->status == 202)
        json_object_set_new(response, "headers",
                            json_pack("{s:{s:s, s:{s:s}}}", "Location", "description",
                                      "Where it can be read.", "schema", "type", "string"));
    return response;
}

static json_t *describe_answers(const GwRoute *route)
{
    json_t *responses = json_object();

    for (const GwAnswer *a = route->answers; a->status != 0; a++) {
        g_autofree char *status = g_strdup_printf("%u", a->status);
        json_object_set_new(responses, status, describe_answer(a));
    }
    json_object_set_new(responses, "default", reference("responses/", "Problem", ""));
    return responses;
}

static json_t *parameter(const char *name, const char *where, const char *type, const char *doc)
{
    return json_pack("{s:s, s:s, s:b, s:s, s:{s:s}}", "name", name, "in", where, "required",
                     strcmp(where, "path") == 0, "description", doc, "schema", "type", type);
}

static json_t *describe_parameters(const GwRoute *route)
{
    json_t *list = json_array();
    gboolean has_id = strstr(route->path, "{id}") != NULL;

    if (has_id)
        json_array_append_new(
            list, parameter("id", "path", "string", "Identifier, or a name where it is unique."));
    for (const GwParam *p = route->query; p != NULL && p->name != NULL; p++)
        json_array_append_new(list, parameter(p->name, "query", p->type, p->doc));
    if (strcmp(route->method, "POST") == 0 && !route->secret)
        json_array_append_new(list, parameter("Idempotency-Key", "header", "string",
                                              "Asked again with the same key, the request is "
                                              "answered as the first time, and not repeated."));
    if (strcmp(route->method, "PATCH") == 0 || strcmp(route->method, "DELETE") == 0)
        json_array_append_new(list, parameter("If-Match", "header", "string",
                                              "ETag of what was read; 412 where it was changed "
                                              "since."));
    if (route->answers[0].kind == GW_ANSWER_EVENTS)
        json_array_append_new(list, parameter("Last-Event-ID", "header", "string",
                                              "Id of the last event that was seen."));
    return list;
}

/* "/api/v1/host-groups/{id}" is about host-groups. */
static char *tag_of(const GwRoute *route)
{
    const char *rest = g_str_has_prefix(route->path, "/api/v1/") ? route->path + 8 : "status";

    return strncmp(rest, "openapi", 7) == 0 ? g_strdup("status")
                                            : g_strndup(rest, strcspn(rest, "/"));
}

static json_t *describe_route(const GwRoute *route)
{
    g_autofree char *tag = tag_of(route);
    json_t *operation =
        json_pack("{s:s, s:s, s:[s], s:s, s:s, s:o, s:o}", "operationId", route->operation,
                  "summary", route->summary, "tags", tag, "x-requirement", route->requirement,
                  "x-role", gw_enum_word(&gw_role_enum, (int)route->role), "parameters",
                  describe_parameters(route), "responses", describe_answers(route));

    if (route->role == GW_ROLE_PUBLIC)
        json_object_set_new(operation, "security", json_array());
    if (route->body != NULL)
        json_object_set_new(
            operation, "requestBody",
            json_pack("{s:b, s:{s:{s:o}}}", "required", 1, "content", "application/json", "schema",
                      reference("schemas/", route->body->name, route->merge ? "Merge" : "")));
    return operation;
}

static void add_route(json_t *paths, const GwRoute *route)
{
    g_autofree char *method = g_ascii_strdown(route->method, -1);
    json_t *path = json_object_get(paths, route->path);

    if (path == NULL) {
        path = json_object();
        json_object_set_new(paths, route->path, path);
    }
    json_object_set_new(path, method, describe_route(route));
}

static json_t *components(json_t *schemas)
{
    return json_pack("{s:o, s:{s:{s:s, s:{s:{s:o}}}}, s:{s:{s:s, s:s, s:s}}}", "schemas", schemas,
                     "responses", "Problem", "description",
                     "Why it failed, and what to do about it.", "content",
                     "application/problem+json", "schema", reference("schemas/", "Problem", ""),
                     "securitySchemes", "token", "type", "http", "scheme", "bearer", "description",
                     "Authorization: Bearer TOKEN. Tokens are never taken from a URL.");
}

json_t *gw_api_openapi(void)
{
    json_t *paths = json_object();
    json_t *schemas = json_object();

    add_schema(schemas, &gw_problem_record);
    for (guint t = 0; gw_routes[t] != NULL; t++) {
        for (const GwRoute *route = gw_routes[t]; route->method != NULL; route++) {
            add_route(paths, route);
            add_route_schemas(schemas, route);
        }
    }
    return json_pack("{s:s, s:{s:s, s:s, s:s, s:{s:s, s:s}}, s:[{s:s}], s:[{s:[]}], s:o, s:o}",
                     "openapi", "3.1.0", "info", "title", "Godwit", "version", "1", "summary",
                     "Live migration of virtual machines between plain libvirt hosts", "license",
                     "name", "LGPL-2.1-or-later", "identifier", "LGPL-2.1-or-later", "servers",
                     "url", "/", "security", "token", "paths", paths, "components",
                     components(schemas));
}
