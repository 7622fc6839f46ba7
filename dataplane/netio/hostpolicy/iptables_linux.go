package hostpolicy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// oldTables returns an error if there are tables of the older iptables, which are not looked into.
// In proc is the network namespace's folder of /proc.
func oldTables(proc string) error {
	for _, name := range []string{"ip_tables_names", "ip6_tables_names"} {
		b, err := os.ReadFile(filepath.Join(proc, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // the kernel has none
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFirewall, err)
		}
		if tables := strings.Fields(string(b)); len(tables) > 0 {
			return fmt.Errorf("%w: there are tables of iptables-legacy: %s", ErrFirewall, strings.Join(tables, ", "))
		}
	}
	return nil
}
