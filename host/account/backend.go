package account

import (
	"context"

	"github.com/frigg-host/frigg-host/host/fault"
)

// Backend returns the actor for a call of the embedding product's own server, which has proved that it is that server and
// names the user by the product's ids. One of them may be empty. With both, the individual must belong to the
// organisation. Unknown users are fault.Unauthorized, or are created if Config.CreateAppUsers says so.
func (s *Service) Backend(ctx context.Context, appUserID, appOrgID string) (Actor, error) {
	if err := s.checkAppIDs(appUserID, appOrgID); err != nil {
		return Actor{}, err
	}
	individual, err := s.appUser(ctx, appUserID, s.store.UserByAppUserID)
	if err != nil {
		return Actor{}, err
	}
	organization, err := s.appUser(ctx, appOrgID, s.store.UserByAppOrgID)
	if err != nil {
		return Actor{}, err
	}
	known := (individual != nil || appUserID == "") && (organization != nil || appOrgID == "")
	joined := individual == nil || appOrgID == "" || individual.Organization != ""
	switch {
	case strangers(individual, organization, appOrgID):
		return Actor{}, errStrangers
	case s.config.CreateAppUsers && (!known || !joined):
		if individual, organization, err = s.ensureAppUsers(ctx, appUserID, appOrgID); err != nil {
			return Actor{}, err
		}
	case !known:
		return Actor{}, fault.New(fault.Unauthorized, "account.Backend", "no user is known by this app id")
	case !joined:
		return Actor{}, errStrangers
	}
	if individual == nil {
		return s.actor(organization)
	}
	if strangers(individual, organization, appOrgID) { // somebody was faster
		return Actor{}, errStrangers
	}
	return s.actor(individual)
}

var errStrangers = fault.New(fault.Forbidden, "account.Backend", "the app user id and the app organisation id belong to different users")

// strangers reports whether the individual belongs to another organisation than the one named appOrgID, nil if unknown.
func strangers(individual, organization *User, appOrgID string) bool {
	if individual == nil || individual.Organization == "" || appOrgID == "" {
		return false
	}
	return organization == nil || organization.ID != individual.Organization
}

// checkAppIDs refuses ids that cannot name an owner, before anything is created for them.
func (s *Service) checkAppIDs(appUserID, appOrgID string) error {
	if appUserID == "" && appOrgID == "" {
		return fault.New(fault.Invalid, "account.Backend", "an app user id or an app organisation id is required")
	}
	if s.config.Primary == Individual && appUserID == "" {
		return fault.New(fault.Invalid, "account.Backend", "an app user id is required, since individuals own things here")
	}
	if !plainText(appUserID) || !plainText(appOrgID) {
		return fault.New(fault.Invalid, "account.Backend", "an app id has up to %d bytes and no control characters", maxName)
	}
	return nil
}

// appUser returns nil if id is empty or names nobody.
func (s *Service) appUser(ctx context.Context, id string, find func(context.Context, string) (*User, error)) (*User, error) {
	if id == "" {
		return nil, nil
	}
	u, err := find(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	return u, fault.Wrap(err, fault.Internal, "account.Backend", "the user could not be read")
}

func (s *Service) ensureAppUsers(ctx context.Context, appUserID, appOrgID string) (*User, *User, error) {
	var individual, organization *User
	if appOrgID != "" {
		organization = &User{ID: NewID(), Kind: Organization, CreatedAt: s.time(), AppOrgID: appOrgID}
	}
	if appUserID != "" {
		if organization == nil && s.config.Primary == Organization {
			return nil, nil, fault.New(fault.Invalid, "account.Backend", "an app organisation id is required for a new user, since organisations own things here")
		}
		individual = &User{ID: NewID(), Kind: Individual, CreatedAt: s.time(), AppUserID: appUserID}
	}
	individual, organization, err := s.store.EnsureAppUsers(ctx, individual, organization)
	return individual, organization, fault.Wrap(err, fault.Internal, "account.Backend", "the user could not be saved")
}
