package secret

import (
	"encoding/base64"
	"encoding/binary"
	"strings"

	"github.com/frigg-host/frigg-host/host/fault"
)

// version is the first part of every sealed value and of its associated data.
const version = "v1"

// gcmOverhead is a nonce of 12 bytes before the ciphertext and a tag of 16 behind it.
const gcmOverhead = 12 + 16

// maxPlain is the largest secret that is sealed.
const maxPlain = 1 << 20

// maxSealed is the largest sealed value that is parsed.
const maxSealed = (maxPlain+gcmOverhead)*4/3 + 128

// Place is where a sealed value is stored. It is bound to the value: somewhere else the value does not open.
type Place struct {
	Table, Column, Row string
}

// associated lists what a sealed value is bound to. Each part has its length before it, so that no two places are alike.
func (p Place) associated(owner string) []byte {
	return joinParts(version, p.Table, p.Row, p.Column, owner)
}

func (p Place) valid() bool { return p.Table != "" && p.Column != "" && p.Row != "" }

func joinParts(parts ...string) []byte {
	var b []byte
	for _, part := range parts {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}

// value is a sealed value: v1.<data key id>.<base64url of nonce, ciphertext and tag>.
type value struct {
	key string
	box []byte
}

func (v value) String() string {
	return version + "." + v.key + "." + base64.RawURLEncoding.EncodeToString(v.box)
}

// strict refuses a second spelling of the same bytes.
var strict = base64.RawURLEncoding.Strict()

func parseValue(text string) (value, error) {
	if len(text) > maxSealed {
		return value{}, malformed("it is too long")
	}
	head, rest, _ := strings.Cut(text, ".")
	key, box, found := strings.Cut(rest, ".")
	switch {
	case head != version:
		return value{}, malformed("it does not begin with " + version)
	case !found || key == "":
		return value{}, malformed("it names no data key")
	case strings.ContainsAny(box, "\r\n"): // which the decoder would skip
		return value{}, malformed("it is not base64")
	}
	raw, err := strict.DecodeString(box)
	if err != nil {
		return value{}, malformed("it is not base64")
	}
	if len(raw) < gcmOverhead {
		return value{}, malformed("it is too short")
	}
	return value{key: key, box: raw}, nil
}

func malformed(why string) error {
	return fault.New(fault.Internal, "secret.Open", "not a sealed value: %s", why)
}
