// Package readfile reads the files that an operator names whole: configurations, secrets, keys and
// certificates.
package readfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Whole returns the contents and mode of one and the same open file, which must not be a folder nor
// larger than limit octets. Print the error by Reason.
func Whole(path string, limit int64) ([]byte, fs.FileMode, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if info.IsDir() {
		return nil, 0, errors.New("is a folder; a file is needed here")
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("is larger than the limit of %d octets", limit)
	}
	return data, info.Mode(), err
}

// Reason returns the text of a file error without the path, which the caller prints.
func Reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "no such file"
	}
	return err.Error()
}

// Private returns an error, with the remedy, if others than the owner may use a file of this mode.
// The error continues a sentence that begins with the name of the file.
func Private(path string, mode fs.FileMode) error {
	if mode.Perm()&0o077 == 0 {
		return nil
	}
	return fmt.Errorf("must be readable by its owner only, but has mode %04o; run chmod 600 %s", mode.Perm(), path)
}
