package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"culvert/esp"
	"culvert/internal/daemon"
)

// version is set by the linker (-X main.version=...).
var version = ""

// versionText returns the version of this build, with a warning if the build encrypts nothing.
func versionText() string {
	if esp.Floor {
		return moduleVersion() + ", " + daemon.FloorWarning
	}
	return moduleVersion()
}

// moduleVersion returns the version set by the linker, or else that of the module as go install
// records it, or else "dev".
func moduleVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

func printVersion(c *call) error {
	if _, err := c.parse(0, 0); err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "culvert %s (%s, %s/%s)\n", versionText(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
