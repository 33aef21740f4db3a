package account

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/google/uuid"
)

// ID names a user: "usr_" and a version 7 UUID.
type ID string

// NewID returns an ID that sorts after earlier ones.
func NewID() ID { return ID("usr_" + uuid.Must(uuid.NewV7()).String()) }

// Owner names whoever owns entities and integrations: the primary user. The zero Owner owns nothing and is refused
// everywhere.
type Owner string

// Valid returns fault.Unauthorized for the zero Owner.
func (o Owner) Valid() error {
	if o == "" {
		return fault.New(fault.Unauthorized, "account.Owner", "no owner is named")
	}
	return nil
}

// Actor is who calls: a user, and the owner in whose name the user acts. It is passed as a parameter, never through a
// context. The zero Actor may do nothing.
type Actor struct {
	User  ID
	Owner Owner
}

// Valid returns fault.Unauthorized unless both user and owner are named.
func (a Actor) Valid() error {
	if a.User == "" {
		return fault.New(fault.Unauthorized, "account.Actor", "no user is named")
	}
	return a.Owner.Valid()
}

// Kind says what a user is.
type Kind string

const (
	// Individual is a person, known by a username or by the embedding product's user id.
	Individual Kind = "individual"
	// Organization is a company, known by the embedding product's organisation id.
	Organization Kind = "organization"
)

// User is an individual or an organisation. Fields of the other kind are empty.
type User struct {
	ID        ID
	Kind      Kind
	CreatedAt time.Time

	// Of individuals. Username and AppUserID are unique if not empty.
	Username     string
	Email        string
	AppUserID    string
	Organization ID // the organisation that the individual belongs to, or empty
	// PasswordHash is a PHC string; zero if the user cannot log in with a password.
	PasswordHash secret.Text

	// Of organisations. AppOrgID is unique if not empty.
	AppOrgID string
	Name     string
}

// maxName is the largest username, email address or app id in bytes.
const maxName = 254

// cleanUsername trims a username. Usernames are compared byte by byte.
func cleanUsername(name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" || !plainText(name) {
		return "", fault.New(fault.Invalid, "account.Username", "the username must have 1 to %d bytes and no control characters", maxName)
	}
	return name, nil
}

func cleanEmail(email string) (string, error) {
	email = strings.TrimSpace(email)
	if email != "" && (!plainText(email) || !strings.Contains(email, "@")) {
		return "", fault.New(fault.Invalid, "account.Email", "this is not an email address")
	}
	return email, nil
}

// plainText reports whether every database keeps s as it is.
func plainText(s string) bool {
	return len(s) <= maxName && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
