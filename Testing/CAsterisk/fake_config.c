/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration files. */
#include "fake_world.h"

struct fake_section {
	char *name;
	struct ast_variable *variables;
	struct fake_section *next;
};
struct ast_config {
	struct fake_section *sections;
};

static char *configuration;

void fake_configuration(const char *lines) { fake_replace_text(&configuration, lines); }

struct ast_config *af_config_load(const char *name, int *broken)
{
	struct ast_config *config;
	struct fake_section **section;
	struct ast_variable **last;
	char *line, *rest, *lines;

	*broken = 0;
	pthread_mutex_lock(&fake_world);
	if (!configuration) {
		pthread_mutex_unlock(&fake_world);
		return NULL;
	}
	config = calloc(1, sizeof(*config));
	section = &config->sections;
	*section = calloc(1, sizeof(**section));
	(*section)->name = strdup("general");
	last = &(*section)->variables;
	rest = lines = strdup(configuration);
	while ((line = strsep(&rest, "\n"))) {
		char *value = strchr(line, '=');

		if (*line == '[') {
			section = &(*section)->next;
			*section = calloc(1, sizeof(**section));
			(*section)->name = strndup(line + 1, strcspn(line + 1, "]"));
			last = &(*section)->variables;
			continue;
		}
		if (!value) {
			continue;
		}
		*value++ = '\0';
		*last = calloc(1, sizeof(**last));
		(*last)->name = strdup(line);
		(*last)->value = strdup(value);
		(*last)->file = "";
		last = &(*last)->next;
	}
	free(lines);
	pthread_mutex_unlock(&fake_world);
	return config;
}

char *ast_category_browse(struct ast_config *config, const char *prev_name)
{
	struct fake_section *section = config->sections;

	if (!prev_name) {
		return section->name;
	}
	while (section->name != prev_name) {
		section = section->next;
	}
	return section->next ? section->next->name : NULL;
}

struct ast_variable *ast_variable_browse(const struct ast_config *config, const char *category)
{
	struct fake_section *section = config->sections;

	while (section && section->name != category) {
		section = section->next;
	}
	return section ? section->variables : NULL;
}

void ast_config_destroy(struct ast_config *config)
{
	struct fake_section *section;
	struct ast_variable *variable;

	while ((section = config->sections)) {
		while ((variable = section->variables)) {
			section->variables = variable->next;
			free((void *) variable->name);
			free((void *) variable->value);
			free(variable);
		}
		config->sections = section->next;
		free(section->name);
		free(section);
	}
	free(config);
}
