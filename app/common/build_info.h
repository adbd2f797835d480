// SPDX-License-Identifier: BSD-3-Clause
// Which build this is: for --version and telemetry.
#pragma once

namespace dinomo::app {

struct BuildInfo {
  const char* version;  // "0.1.0"
  const char* commit;   // as `git describe` has it; the version where there is no repository
  const char* text;     // commit, compiler, kind of build, in a line
};
const BuildInfo& build_info() noexcept;

}  // namespace dinomo::app
