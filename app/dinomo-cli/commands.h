// SPDX-License-Identifier: BSD-3-Clause
// The commands: one a row of the table in commands.cc, each a function from settings to an exit
// status.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "session.h"
#include "settings.h"

namespace dinomo::cli {

struct Command {
  CLI::App* app;
  int (*run)(Session&, const Settings&);
  int (*run_cluster)(const Settings&) = nullptr;  // instead of `run`: no KN is asked
  bool keyed = false;                             // has a KEY
  CLI::Option* value = nullptr;                   // its VALUE, if it takes one
};

/// Adds all commands and their options to `app`; they fill `s`.
std::vector<Command> add_commands(CLI::App& app, Settings& s);

/// Makes keys bytes and checks what the parser cannot. An exit status.
int check(const Command& command, Settings& s);

/// "get, mget, put, ..., stats, or cluster and what it is to do"
std::string command_names(const std::vector<Command>& commands);

// item_commands.cc
int run_get(Session& session, const Settings& s);
int run_get_many(Session& session, const Settings& s);
int run_get_and_touch(Session& session, const Settings& s);
int run_put(Session& session, const Settings& s);
int run_add(Session& session, const Settings& s);
int run_replace(Session& session, const Settings& s);
int run_cas(Session& session, const Settings& s);
int run_append(Session& session, const Settings& s);
int run_prepend(Session& session, const Settings& s);
int run_delete(Session& session, const Settings& s);
int run_increment(Session& session, const Settings& s);
int run_decrement(Session& session, const Settings& s);
int run_touch(Session& session, const Settings& s);

// server_commands.cc
int run_ping(Session& session, const Settings& s);
int run_ring(Session& session, const Settings& s);
int run_stats(Session& session, const Settings& s);

/// One object: status, key, what is in `extra`, latency and transmissions.
void print_json(const client::Reply& reply, std::string_view key,
                const nlohmann::ordered_json& extra);

}  // namespace dinomo::cli
