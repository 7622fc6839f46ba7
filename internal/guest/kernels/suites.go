// Package kernels runs tests in the kernels of other systems: `make kernels`.
package kernels

import (
	"fmt"
	"strings"
)

// suite is a package of tests, and which of them run in a guest.
type suite struct {
	pkg string
	run string // as of -test.run
}

// suites are what touches the kernel: sockets, programs at devices, the TUN device, routes and
// rules, the guard, and the daemon as a whole.
var suites = []suite{
	{pkg: "internal/e2e", run: exactly(
		"TestFastPath", "TestFastPathOfAnOldKernel", "TestFirewallOverFastPath", "TestFastPathByDevices", "TestFastPathByRoutes",
		"TestFastPathWithoutCapability", "TestFastPathKilled", "TestTunnel", "TestRelease",
		"TestNothingLeaksWhateverTheEnd", "TestNoOffloads", "TestManualKeys", "TestWithoutIPv6")},
	{pkg: "dataplane/netio"},
	{pkg: "dataplane/netio/clsact"},
	{pkg: "dataplane/netio/hostpolicy"},
	{pkg: "tun"},
	{pkg: "tun/guard"},
	{pkg: "dataplane"},
	{pkg: "tun/protect"},
}

// exactly returns the pattern of tests with these names.
func exactly(names ...string) string { return "^(" + strings.Join(names, "|") + ")$" }

// binary is the suite's file in a guest.
func (s suite) binary() string { return "/tests/" + strings.ReplaceAll(s.pkg, "/", "-") + ".test" }

// script returns the command of a guest that runs suites one after the other. Its exit status
// tells nothing about them: parse does.
func script(suites []suite, flags string) string {
	var b strings.Builder
	b.WriteString("export CULVERT_BIN=/tests/culvert CULVERT_E2E=1\n")
	for _, s := range suites {
		pattern := s.run
		if pattern == "" {
			pattern = "."
		}
		fmt.Fprintf(&b, "echo '%s%s'\n", suiteMark, s.pkg)
		fmt.Fprintf(&b, "%s -test.v=test2json -test.run '%s' %s\n", s.binary(), pattern, flags)
		fmt.Fprintf(&b, "echo '%s'$?\n", endMark)
	}
	return b.String()
}
