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

// versionText is the linker's version, or that of the module, as go install knows it; a build that encrypts nothing says so.
func versionText() string {
	if esp.Floor {
		return moduleVersion() + ", " + daemon.FloorWarning
	}
	return moduleVersion()
}

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
