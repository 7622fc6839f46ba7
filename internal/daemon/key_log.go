package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"culvert/ike"
	"culvert/ike/driver"
	"culvert/internal/ipsec"
	"culvert/internal/keylog"
)

// A keyLog writes the keys of IKE SAs and Child SAs into a folder, for somebody who decrypts a
// capture. A daemon without [daemon] key_log has none, and its keys then leave neither the engine
// nor the packet path; the methods of a nil *keyLog do nothing. It is safe for concurrent use.
type keyLog struct {
	dir string
	log *slog.Logger

	mu     sync.Mutex // guards the fields below
	tables [2]*os.File
	buf    []byte
	failed bool // the log has it
}

// The tables of a keyLog.
const (
	ikeTable = iota
	espTable
)

// maxKeyTable is the most octets of a table: peers, and strangers with an IKE_AUTH, cause lines.
const maxKeyTable = 64 << 20

// openKeyLog opens the tables in a folder, and makes what is missing.
func openKeyLog(dir string, log *slog.Logger) (*keyLog, error) {
	if err := checkStateDir(dir); err != nil {
		return nil, err
	}
	k := &keyLog{dir: dir, log: log, buf: make([]byte, 0, keylog.MaxLine)}
	for i, name := range []string{ikeTable: keylog.IKETable, espTable: keylog.ESPTable} {
		f, err := openKeyTable(filepath.Join(dir, name))
		if err != nil {
			k.close()
			return nil, err
		}
		k.tables[i] = f
	}
	if err := writePreferences(filepath.Join(dir, "preferences")); err != nil {
		k.close()
		return nil, err
	}
	return k, nil
}

// writePreferences makes the file with which Wireshark uses the tables, unless there is one.
func writePreferences(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(keylog.Preferences)
	return errors.Join(err, f.Close())
}

// openKeyTable opens a table to append to it. It must be a regular file that others cannot read.
func openKeyTable(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular() || !ownerTrusted(info):
		err = fmt.Errorf("%s is not a file of this user; remove it", path)
	case info.Mode().Perm()&0o077 != 0:
		err = fmt.Errorf("%s must be readable by its owner only, but has mode %04o; run chmod 600 %s", path, info.Mode().Perm(), path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (k *keyLog) close() {
	if k == nil {
		return
	}
	for _, f := range k.tables {
		if f != nil {
			f.Close()
		}
	}
}

// folder returns the folder, or "" if keys are not written down.
func (k *keyLog) folder() string {
	if k == nil {
		return ""
	}
	return k.dir
}

// ike returns what writes the keys of an IKE SA down; nil if they are not.
func (k *keyLog) ike() func(*ike.IKEKeys) {
	if k == nil {
		return nil
	}
	return func(keys *ike.IKEKeys) {
		k.write(ikeTable, func(b []byte) []byte { return keylog.AppendIKE(b, keys) })
	}
}

// writeESP writes the keys of a Child SA pair down.
func (k *keyLog) writeESP(sa *ipsec.ChildSA) {
	if k != nil {
		k.write(espTable, func(b []byte) []byte { return keylog.AppendESP(b, sa) })
	}
}

// A watchedPlane has the keys of the Child SAs that IKE installs written down.
type watchedPlane struct {
	driver.Plane
	keys *keyLog
}

// watch returns the packet path for IKE.
func (k *keyLog) watch(p driver.Plane) driver.Plane {
	if k == nil {
		return p
	}
	return watchedPlane{p, k}
}

func (p watchedPlane) InstallInbound(sa ipsec.ChildSA) error {
	p.keys.writeESP(&sa)
	return p.Plane.InstallInbound(sa)
}

// errKeyTableFull means that a table has grown to its limit.
var errKeyTableFull = errors.New("it has grown to its limit; move it away, and start the daemon again")

// write appends lines to a table, in one write. What cannot be written is left out.
func (k *keyLog) write(table int, lines func([]byte) []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	b := lines(k.buf[:0])
	defer clear(b)
	f := k.tables[table]
	info, err := f.Stat()
	if err == nil && info.Size()+int64(len(b)) > maxKeyTable {
		err = &fs.PathError{Op: "append to", Path: f.Name(), Err: errKeyTableFull}
	}
	if err == nil {
		if _, err = f.Write(b); err != nil {
			_ = f.Truncate(info.Size()) // no part of a line stays, as Wireshark would read no further
		}
	}
	if err != nil && !k.failed {
		k.log.Warn("keys are not written down any more: "+err.Error(), "event", "key-log-failed")
	}
	k.failed = err != nil
}
