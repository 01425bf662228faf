/* SPDX-License-Identifier: Apache-2.0 */
/* What the module has registered: actions, applications, functions and commands. */
#include "fake_world.h"

static struct fake_item *items;
static int registrations, failing_registration, documented;

int fake_registrations(void) { return registrations; }
void fake_fail_registration(int n) { failing_registration = n; }

int fake_register(void)
{
	if (failing_registration && !--failing_registration) {
		return -1;
	}
	registrations++;
	return 0;
}

void fake_remember_item(const char *kind, const char *name, int authority,
	int (*run)(struct mansession *, const struct message *), const char *help)
{
	struct fake_item *item = calloc(1, sizeof(*item));

	item->kind = kind;
	item->name = name;
	item->authority = authority;
	item->run = run;
	item->help = help ? strdup(help) : NULL;
	item->next = items;
	items = item;
}

void fake_unregister(void) { registrations--; }

struct fake_item *fake_find_item(const char *kind, const char *name)
{
	struct fake_item *item = items;

	while (item && (strcmp(item->kind, kind) || strcasecmp(item->name, name))) {
		item = item->next;
	}
	return item;
}

void fake_forget_item(const char *kind, const char *name)
{
	struct fake_item **place, *item;

	for (place = &items; (item = *place); place = &item->next) {
		if (!strcmp(item->kind, kind) && !strcmp(item->name, name)) {
			*place = item->next;
			free(item->help);
			free(item);
			return;
		}
	}
}

void fake_documented(int is_documented) { documented = is_documented; }
int af_is_documented(const char *kind, const char *name) { return documented; }

char *fake_help(const char *kind, const char *name)
{
	struct fake_item *item = fake_find_item(kind, name);

	return item && item->help ? strdup(item->help) : NULL;
}

int ast_register_application2(const char *app, int (*execute)(struct ast_channel *, const char *), const char *synopsis,
	const char *description, void *mod)
{
	int failure = fake_register();

	if (!failure) {
		fake_remember_item("application", app, 0, NULL, description);
	}
	return failure;
}

int ast_unregister_application(const char *app)
{
	fake_unregister();
	fake_forget_item("application", app);
	return 0;
}
