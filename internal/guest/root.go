package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Unpack returns a folder with the files of packages of a suite of Debian, and of all that they
// depend on, out of the folder cache, where it gets them by apt if they are not there. Packages of
// different sets may exclude each other. They are unpacked only: nothing is configured, and the
// host's own system does not change. What apt prints goes to log. What is in the cache is not
// updated.
func Unpack(ctx context.Context, cache, suite string, sets [][]string, log io.Writer) (string, error) {
	dir, err := filepath.Abs(filepath.Join(cache, suite))
	if err != nil {
		return "", err
	}
	root, names := filepath.Join(dir, "root"), strings.Join(slices.Concat(sets...), "\n")
	if has, err := os.ReadFile(filepath.Join(dir, "unpacked")); err == nil && string(has) == names {
		return root, nil
	}
	a := apt{dir: dir, log: log}
	if err := a.update(ctx, suite); err != nil {
		return "", fmt.Errorf("%s: %w", suite, err)
	}
	for _, set := range sets {
		options := append([]string{"--download-only", "--no-install-recommends", "--yes", "install"}, set...)
		if err := run(ctx, log, dir, "apt-get", a.options(options...)...); err != nil {
			return "", fmt.Errorf("%s: %w", strings.Join(set, ", "), err)
		}
	}
	if err := unpackAll(ctx, dir, root); err != nil {
		return "", err
	}
	return root, os.WriteFile(filepath.Join(dir, "unpacked"), []byte(names), 0o644)
}

// unpackAll unpacks all packages that apt has downloaded, and adds the folders and links that no
// package brings, since Debian's installer makes them.
func unpackAll(ctx context.Context, dir, root string) error {
	if err := os.RemoveAll(root); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(dir, "archives", "*.deb"))
	if err != nil || len(debs) == 0 {
		return errors.Join(err, fmt.Errorf("%s has no packages", dir))
	}
	for _, deb := range debs {
		if err := run(ctx, nil, "", "dpkg-deb", "-x", deb, root); err != nil {
			return err
		}
	}
	for _, sub := range []string{"tmp", "proc", "dev", "run", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, sub), 0o755); err != nil {
			return err
		}
	}
	for _, sub := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+sub, filepath.Join(root, sub)); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}
