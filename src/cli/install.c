/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/install.h"

#include <string.h>
#include <sys/utsname.h>

#include "base/error.h"
#include "cli/format.h"
#include "cli/remote.h"
#include "cli/tar.h"

#define OK_TIMEOUT_S 90
#define CLOCK_WARNING_S 60
/* Without a login, PATH may lack the places that programs of root are in. */
#define PATH_LINE "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH\n"

typedef struct {
    GwSession *session;
    const GwArgs *args;
    const char *name;
    Remote remote;
    GHashTable *found; /* what the probe said: key -> value */
    GwJoinOffer offer;
    gboolean joined;
} Install;

static void install_clear(Install *install)
{
    remote_clear(&install->remote);
    g_clear_pointer(&install->found, g_hash_table_unref);
    gw_join_offer_clear(&install->offer);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Install, install_clear)

static const char *found(const Install *install, const char *key)
{
    const char *value = g_hash_table_lookup(install->found, key);
    return value != NULL ? value : "";
}

/* A remedy for what failed there, where it has none of its own. */
static gboolean failed(const char *step, const char *remedy, GError *why, GError **error)
{
    const char *own = gw_error_remedy(why);

    gw_error_set(error, (GwErrorCode)why->code, own != NULL ? own : remedy, "%s: %s", step,
                 why->message);
    g_error_free(why);
    return FALSE;
}

/* Looking ------------------------------------------------------------------------------------ */

static const char probe_script[] =
    PATH_LINE "echo godwit-probe=1\n"
              "echo uid=$(id -u)\n"
              "echo arch=$(uname -m)\n"
              "echo time=$(date +%s)\n"
              "echo agent=$(godwit-agent --version 2>/dev/null)\n"
              "godwit-agent status 2>/dev/null | sed -n 's/^fabric: /fabric=/p'\n"
              "[ -d /run/systemd/system ] && echo systemd=yes\n"
              "for s in /run/libvirt/libvirt-sock /run/libvirt/virtqemud-sock; do\n"
              "  [ -S \"$s\" ] && echo libvirt=$s\n"
              "done\n"
              "command -v tar >/dev/null 2>&1 && echo tar=yes\n"
              "exit 0\n";

static GHashTable *read_probe(const char *text)
{
    GHashTable *values = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_auto(GStrv) lines = g_strsplit(text, "\n", 200);
    gboolean begun = FALSE;

    /* Before it may stand what the far end says to everybody who logs in. */
    for (char **line = lines; *line != NULL; line++) {
        char *equals = strchr(*line, '=');
        begun = begun || strcmp(*line, "godwit-probe=1") == 0;
        if (begun && equals != NULL)
            g_hash_table_replace(values, g_strndup(*line, (gsize)(equals - *line)),
                                 gw_format_line(equals + 1));
    }
    return values;
}

static void warn_of_clock(const Install *install)
{
    gint64 there = g_ascii_strtoll(found(install, "time"), NULL, 10);
    gint64 off = there - gw_clock_wall_us(install->session->clock) / G_USEC_PER_SEC;

    if (there > 0 && ABS(off) > CLOCK_WARNING_S)
        g_printerr("godwit: the clock of %s is %" G_GINT64_FORMAT " s %s; the agent follows the "
                   "controller's, but see to it (chrony, ntp)\n",
                   install->name, ABS(off), off > 0 ? "ahead" : "behind");
}

static gboolean check_probe(const Install *install, GError **error)
{
    if (strcmp(found(install, "godwit-probe"), "1") != 0)
        gw_error_set(error, GW_ERR_OPERATION, "Give a command that runs its last word in a shell.",
                     "what --ssh-command leads to does not run commands");
    else if (strcmp(found(install, "uid"), "0") != 0)
        gw_error_set(error, GW_ERR_FORBIDDEN,
                     "Use --user root, or let that user run sudo without "
                     "a password.",
                     "the agent is installed as root, this is user %s there",
                     found(install, "uid"));
    else if (*found(install, "libvirt") == '\0')
        gw_error_set(error, GW_ERR_OPERATION,
                     "Install and start it there: apt-get install libvirt-daemon-system "
                     "qemu-system-x86; systemctl start libvirtd.",
                     "%s has no libvirt: no socket in /run/libvirt", install->name);
    else
        return TRUE;
    return FALSE;
}

static gboolean probe(Install *install, GError **error)
{
    g_autofree char *text = NULL;
    GError *why = NULL;

    if (!remote_run(&install->remote, probe_script, NULL, &text, &why))
        return failed("looking at the host",
                      "Try the way there by hand, or name another with --ssh-command.", why, error);
    install->found = read_probe(text);
    if (!check_probe(install, error))
        return FALSE;
    warn_of_clock(install);
    return TRUE;
}

/* Copying ------------------------------------------------------------------------------------ */

/* Under /usr/local there, and under the prefix here; in a build folder they lie elsewhere. */
static const struct {
    const char *name, *built;
    guint mode;
    gboolean optional;
} files[] = {
    { "sbin/godwit-agent", "godwit-agent", 0755, FALSE },
    { "lib/systemd/system/godwit-agent.service", "systemd/godwit-agent.service", 0644, FALSE },
    { "lib/sysusers.d/godwit-agent.conf", "systemd/godwit-agent.conf", 0644, FALSE },
    { "share/man/man8/godwit-agent.8", "docs/man/godwit-agent.8", 0644, TRUE },
};

/* The folder that this program was built in; NULL where it is an installed one. */
static char *build_folder(void)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = self != NULL ? g_path_get_dirname(self) : g_strdup("/");
    g_autofree char *beside = g_build_filename(folder, files[0].built, NULL);

    return g_file_test(beside, G_FILE_TEST_EXISTS) ? g_steal_pointer(&folder) : NULL;
}

/* @given: --agent-files; NULL: by where this program lies. */
static GString *pack(const char *given, GError **error)
{
    g_autofree char *build = given == NULL ? build_folder() : NULL;
    const char *prefix = given != NULL ? given : build != NULL ? build : GW_PREFIX;
    g_autoptr(GString) tar = g_string_new(NULL);

    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        const char *name = build != NULL ? files[i].built : files[i].name;
        g_autofree char *path = g_build_filename(prefix, name, NULL);
        g_autoptr(GError) why = NULL;
        if (gw_tar_add(tar, files[i].name, path, files[i].mode, &why) || files[i].optional)
            continue;
        gw_error_set(error, GW_ERR_NOT_FOUND,
                     "Install the agent's files here too, or say where they are: --agent-files "
                     "PREFIX.",
                     "the agent's files are not all in %s: %s", prefix, why->message);
        return NULL;
    }
    gw_tar_end(tar);
    return g_steal_pointer(&tar);
}

static gboolean check_machine(const Install *install, GError **error)
{
    struct utsname here;

    if (uname(&here) == 0 && strcmp(here.machine, found(install, "arch")) != 0) {
        gw_error_set(error, GW_ERR_UNSUPPORTED,
                     "Install godwit-agent there by hand, or give files for it: --agent-files "
                     "PREFIX.",
                     "%s is %s, the agent here is for %s", install->name, found(install, "arch"),
                     here.machine);
        return gw_args_has(install->args, "agent-files");
    }
    if (strcmp(found(install, "tar"), "yes") == 0)
        return TRUE;
    gw_error_set(error, GW_ERR_UNSUPPORTED, "Install tar there.", "%s has no tar", install->name);
    return FALSE;
}

static gboolean copy(const Install *install, GError **error)
{
    static const char script[] =
        PATH_LINE "tar -xf - --no-same-owner -C /usr/local && godwit-agent --version >/dev/null\n";
    const char *given = gw_args_text(install->args, "agent-files");
    g_autoptr(GError) other = NULL;
    GError *why = NULL;

    if (strcmp(found(install, "agent"), "godwit-agent " GW_VERSION) == 0 && given == NULL) {
        gw_say(install->session, "godwit-agent %s is there already", GW_VERSION);
        return TRUE;
    }
    if (!check_machine(install, &other)) {
        g_propagate_error(error, g_steal_pointer(&other));
        return FALSE;
    }
    g_autoptr(GString) tar = pack(given, error);
    if (tar == NULL)
        return FALSE;
    gw_say(install->session, "Copying godwit-agent %s to /usr/local", GW_VERSION);
    if (remote_run(&install->remote, script, tar, NULL, &why))
        return TRUE;
    return failed("copying the agent",
                  "Where a library is missing: apt-get install libglib2.0-0 libjansson4 libxml2 "
                  "libvirt0 libgnutls30 libsodium23 libcurl3-gnutls libseccomp2 libacl1.",
                  why, error);
}

/* Joining ------------------------------------------------------------------------------------ */

/* An agent that runs would write its old state over the new. */
static char *join_script(const Install *install)
{
    g_autofree char *controller = g_shell_quote(install->offer.controller);
    g_autofree char *fingerprint = g_shell_quote(gw_at_text(install->offer.token, "fingerprint"));
    const char *there = found(install, "fabric");
    const char *ours = gw_at_text(install->offer.token, "fabric_id");
    g_autofree char *fabric = g_shell_quote(there);
    gboolean again = *there != '\0' && g_strcmp0(there, ours) == 0;

    return g_strdup_printf(
        PATH_LINE "was=$(systemctl is-active godwit-agent </dev/null 2>/dev/null)\n"
                  "[ \"$was\" = active ] && systemctl stop godwit-agent </dev/null\n"
                  "godwit-agent join --controller %s --fingerprint %s%s%s --token-file - && exit\n"
                  "status=$?\n"
                  "[ \"$was\" = active ] && systemctl start godwit-agent </dev/null\n"
                  "exit $status\n",
        controller, fingerprint, again ? " --replace " : "", again ? fabric : "");
}

static gboolean join(Install *install, GError **error)
{
    g_autofree char *script = join_script(install);
    GString *token = g_string_new(gw_at_text(install->offer.token, "token"));
    GError *why = NULL;

    gw_say(install->session, "Joining the controller at %s", install->offer.controller);
    g_string_append_c(token, '\n');
    install->joined = remote_run(&install->remote, script, token, NULL, &why);
    explicit_bzero(token->str, token->len);
    g_string_free(token, TRUE);
    if (install->joined)
        return TRUE;
    g_autofree char *remedy = g_strdup_printf(
        "Where it does not reach the controller: godwitd must listen on that address (--listen), "
        "and the port must be open to %s; --controller names another.",
        install->name);
    return failed("joining", remedy, why, error);
}

/* Starting ----------------------------------------------------------------------------------- */

static const char user_script[] =
    PATH_LINE "id godwit-agent >/dev/null 2>&1 && exit\n"
              "systemd-sysusers /usr/local/lib/sysusers.d/godwit-agent.conf 2>/dev/null &&\n"
              "  id godwit-agent >/dev/null 2>&1 && exit\n"
              "useradd --system --no-create-home --home-dir / --shell /usr/sbin/nologin "
              "godwit-agent\n";

static const char start_script[] =
    PATH_LINE "systemctl daemon-reload && systemctl enable --quiet godwit-agent &&\n"
              "systemctl restart godwit-agent && exit\n"
              "journalctl -u godwit-agent -n 5 --no-pager -o cat >&2\n"
              "exit 1\n";

static gboolean start(const Install *install, GError **error)
{
    GError *why = NULL;

    if (!remote_run(&install->remote, user_script, NULL, NULL, &why))
        return failed("making the user godwit-agent",
                      "Make it there: useradd --system "
                      "godwit-agent.",
                      why, error);
    if (strcmp(found(install, "systemd"), "yes") != 0) {
        g_printerr("godwit: %s has no systemd; start the agent there: godwit-agent run\n",
                   install->name);
        return TRUE;
    }
    gw_say(install->session, "Starting godwit-agent");
    if (remote_run(&install->remote, start_script, NULL, NULL, &why))
        return TRUE;
    return failed("starting the agent", "Look at its log there: journalctl -u godwit-agent.", why,
                  error);
}

static gboolean is_ok(json_t *host)
{
    return g_strcmp0(gw_at_text(host, "status"), "OK") == 0;
}

/* The host as it is when it is OK, or as it was last. */
static json_t *await(const Install *install, gboolean wait, GError **error)
{
    const char *id = gw_at_text(install->offer.token, "host_id");
    g_autofree char *segment = gw_client_segment(id != NULL ? id : "");
    g_autofree char *path = g_strconcat("/hosts/", segment, NULL);
    gint64 span = gw_args_int(install->args, "wait", OK_TIMEOUT_S) * G_USEC_PER_SEC;
    gint64 end = gw_clock_now_us(install->session->clock) + (wait ? span : 0);
    g_autoptr(GwJson) host = NULL;

    if (wait)
        gw_say(install->session, "Waiting for the controller to reach it");
    for (;;) {
        g_clear_pointer(&host, json_decref);
        host = gw_client_get(install->session->client, path, error);
        if (host == NULL || is_ok(host) || gw_clock_now_us(install->session->clock) > end)
            return g_steal_pointer(&host);
        g_usleep(G_USEC_PER_SEC / 2);
    }
}

static gboolean settle(const Install *install, GError **error)
{
    /* Where nobody starts the agent, there is nothing to wait for. */
    gboolean started = strcmp(found(install, "systemd"), "yes") == 0;
    g_autoptr(GwJson) host = await(install, started, error);
    const char *reason = gw_at_text(host, "status_reason");
    const char *address = gw_at_text(host, "uri");

    if (host == NULL)
        return FALSE;
    if (is_ok(host) || !started) {
        if (!gw_print_document(install->session, host))
            gw_say(install->session, "Host %s added, status %s, %s", gw_at_text(host, "name"),
                   gw_at_text(host, "status"), gw_at_text(host, "id"));
        return TRUE;
    }
    gw_error_set(error, GW_ERR_OPERATION,
                 "Open the agent's port (8447) there to the controller and to the other hosts, and "
                 "look at its log: journalctl -u godwit-agent. The controller goes on trying.",
                 "the host joined, but the controller does not reach its agent at %s: %s",
                 address != NULL ? address : "its address", reason != NULL ? reason : "no answer");
    return FALSE;
}

/* The command -------------------------------------------------------------------------------- */

static gboolean is_elsewhere(const Install *install, GError **error)
{
    const char *there = found(install, "fabric");

    if (*there == '\0' || g_strcmp0(there, gw_at_text(install->offer.token, "fabric_id")) == 0)
        return FALSE;
    gw_error_set(error, GW_ERR_CONFLICT,
                 "If that fabric's controller shall manage it no longer, remove it there; then, on "
                 "the host: godwit-agent leave.",
                 "%s is in another fabric already (%s)", install->name, there);
    return TRUE;
}

static gboolean install_all(Install *install, GError **error)
{
    const char *user = gw_args_text(install->args, "user");

    if (!remote_set(&install->remote, gw_args_text(install->args, "ssh-command"), install->name,
                    user != NULL ? user : "root", error))
        return FALSE;
    g_autofree char *words = remote_words(&install->remote);
    gw_say(install->session, "Looking at %s (%s)", install->name, words);
    return probe(install, error) &&
           gw_join_offer_make(&install->offer, install->session, install->args, error) &&
           !is_elsewhere(install, error) && copy(install, error) && join(install, error) &&
           start(install, error) && settle(install, error);
}

int gw_install_agent(GwSession *session, const GwArgs *args, GError **error)
{
    g_auto(Install) install = { .session = session, .args = args, .name = gw_args_word(args, 0) };
    gboolean done = install_all(&install, error);

    if (!done && !install.joined && install.offer.token != NULL)
        gw_join_offer_withdraw(&install.offer, session);
    return done ? GW_EXIT_OK : GW_EXIT_FAILED;
}
