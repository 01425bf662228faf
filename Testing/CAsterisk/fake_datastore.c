/* SPDX-License-Identifier: Apache-2.0 */
/* Datastores of channels. */
#include "fake_world.h"

static const struct ast_datastore_info datastore_type = {
	.type = "audiofork",
	.destroy = af_datastore_destroyed,
	.chan_fixup = af_datastore_moved,
	.chan_breakdown = af_datastore_moved,
};

const struct ast_datastore_info *af_datastore_type(void) { return &datastore_type; }

struct ast_datastore *af_datastore_new(const char *uid)
{
	struct ast_datastore *store = calloc(1, sizeof(*store));

	store->info = &datastore_type;
	store->uid = strdup(uid);
	return store;
}

int ast_datastore_free(struct ast_datastore *store)
{
	fake_beeps_await_datastore();
	if (store->data) {
		store->info->destroy(store->data);
	}
	free((void *) store->uid);
	free(store);
	return 0;
}

int ast_channel_datastore_add(struct ast_channel *channel, struct ast_datastore *store)
{
	store->next = channel->datastores;
	channel->datastores = store;
	return 0;
}

int ast_channel_datastore_remove(struct ast_channel *channel, struct ast_datastore *store)
{
	struct ast_datastore **place;

	for (place = &channel->datastores; *place; place = &(*place)->next) {
		if (*place == store) {
			*place = store->next;
			return 0;
		}
	}
	return -1;
}

struct ast_datastore *ast_channel_datastore_find(struct ast_channel *channel, const struct ast_datastore_info *info,
	const char *uid)
{
	struct ast_datastore *store = channel->datastores;

	while (store && (store->info != info || (uid && strcmp(store->uid, uid)))) {
		store = store->next;
	}
	return store;
}
