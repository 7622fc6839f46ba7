package daemon

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// manualFile is the file of the state directory.
const manualFile = "manual-sequences"

// maxManualFile bounds what is read of it: some 100,000 SAs.
const maxManualFile = 16 << 20

// load reads the file, once. k.mu is held.
func (k *manualRecorder) load() error {
	if k.loaded {
		return nil
	}
	dir, err := k.state.open()
	if err != nil {
		return fmt.Errorf("its sequence numbers cannot be kept: %w", err)
	}
	records, err := readManualFile(dir)
	if err != nil {
		return fmt.Errorf("%s cannot be used: %w. Without it, sequence numbers and initialization vectors could be used a second time, which would reveal packets: give all manual children new keys on both sides, and then remove the file", dir.path(manualFile), err)
	}
	left, _ := filepath.Glob(dir.path("." + manualFile + "-*")) // of a daemon that ended while it wrote
	for _, name := range left {
		_ = os.Remove(name) // the next start tries again
	}
	k.records, k.loaded = records, true
	return nil
}

func readManualFile(dir *stateDir) (manualRecords, error) {
	f, err := openSecret(dir.path(manualFile))
	if errors.Is(err, fs.ErrNotExist) {
		return newManualRecords(), nil
	}
	if err != nil {
		return manualRecords{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return manualRecords{}, err
	case !info.Mode().IsRegular() || !ownerTrusted(info) || info.Mode().Perm()&0o022 != 0:
		return manualRecords{}, errors.New("others may have changed it")
	case info.Size() > maxManualFile:
		return manualRecords{}, errManualDamaged
	}
	b, err := io.ReadAll(io.LimitReader(f, maxManualFile))
	if err != nil {
		return manualRecords{}, err
	}
	return parseManualRecords(b)
}

// write writes the file, and with it on disk takes the records for the present ones. k.mu is held,
// and the file is loaded.
func (k *manualRecorder) write(next manualRecords) error {
	dir, err := k.state.open()
	if err == nil {
		err = dir.replace(manualFile, next.encode())
	}
	if err != nil {
		if !k.failing {
			k.log.Error("the sequence numbers of manual SAs cannot be kept: packets are dropped once those on disk are used: "+err.Error(), "event", "manual-sequence-failed")
		}
		k.failing = true
		return fmt.Errorf("its sequence numbers cannot be kept: %w", err)
	}
	k.records, k.written, k.failing = next, k.now(), false
	return nil
}
