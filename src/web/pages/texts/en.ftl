# Everything that the pages say. Other languages are files such as de.ftl with the same messages; what one of them
# lacks is shown in English. Syntax: https://projectfluent.org/fluent/guide/

## Everywhere

# How the language is written: ltr or rtl.
direction = ltr
# What the language calls itself.
language-name = English
language-label = Language
page-title = { $page } · { $name }
page-title-wrong = Error: { $page } · { $name }
date = { $day } { $month ->
    [1] January
    [2] February
    [3] March
    [4] April
    [5] May
    [6] June
    [7] July
    [8] August
    [9] September
    [10] October
    [11] November
   *[12] December
} { $year }, { $time } UTC
optional = optional
show-password = Show
show-password-label = Show password
hide-password = Hide
copy = Copy
copied = Copied
back-to = Back to { $name }
continue = Continue
problems = { $count ->
    [one] There is a problem
   *[other] There are { $count } problems
}
problem-of-field = { $field }: { $problem }
field-name = { $field ->
    [username] User name or email address
    [password] Password
    [email] Email address
    [code] Code from the email
    [new_password] New password
    [recovery_code] Recovery code
    [factor_name] Name
   *[current_password] Current password
}
password-hint = At least { $min } characters. A few unrelated words are strong and easy to remember.
password-hint-reset = At least { $min } characters, or { $least } for an account with a second factor. A few unrelated words are strong and easy to remember.
code-label = Code from the email
app-code-label = Code from your authenticator app
app-picture = QR code for your authenticator app
app-by-hand = Set it up without a camera
app-by-hand-text = Enter this key in your app:
app-open = Open an app on this device
recovery-code-label = Recovery code
recovery-code-hint = One of the codes that you wrote down. Each works once.
new-password-label = New password

## Signing in

sign-in-title = Sign in
sign-in-lead = to continue to { $name }
username-label = User name or email address
password-label = Password
shared-computer = This is a shared computer
shared-computer-hint = You are signed out when the browser closes.
sign-in = Sign in
passkey-sign-in = Sign in with a passkey
passkey-or = or
passkey-problem = That did not work. Try again, or go on below.
forgotten-link = Forgotten your password?
register-question = No account yet?
register-link = Create an account

switch-title = You are signed in as { $user }
switch-text = To use another account, sign out first.
switch-continue = Continue as { $user }

step-mfa-title = Confirm it is you
step-mfa-text = Enter the code that your authenticator app shows now.
step-mfa-text-recovery = Enter one of your recovery codes.
step-mfa-text-passkey = Use your passkey.
step-mfa-text-nothing = None of your second factors can be used here.
step-mfa-elsewhere = Your passkey works at { $hosts } alone.
step-mfa-way-out = Sign in where it works and add an authenticator app to your account: an app works everywhere. If that is not possible, ask those who run { $name } to remove your second factor. A new password does not help.
step-mfa-passkey = Use a passkey
step-mfa-recover = Use a recovery code instead
step-enrol-title = Set up an authenticator app
step-enrol-text = This account needs a second step at sign-in. Scan the picture with an authenticator app, then enter the code that it shows.
step-enrol-passkey = Set up a passkey
step-codes-title = Your recovery codes
step-codes-text = Keep these codes in a safe place. Each signs you in once if you lose your device. They are not shown again.
step-codes-submit = I have saved them
step-password-title = Choose a new password
step-password-text = Your password has to be replaced before you can go on.
step-address-title = Confirm your email address
step-address-text = We send a code to this address.
step-address-submit = Send code
step-code-title = Check your email
step-code-text = We sent a code to { $email }. Enter it here to go on.
step-code-resend = Send a new code
step-code-other-address = Use another address
step-who = Signing in as { $user }

## Making an account

register-title = Create an account
register-lead = for { $name }
register-submit = Create account
email-label = Email address
email-hint = We send a code to it.
own-username-label = User name
own-username-hint = A short name to sign in with instead of the address.
sign-in-question = Already have an account?

sent-title = Check your email
sent-register-text = We sent an email to { $to }. Enter the code from it, or open its link in this browser.
sent-help = Nothing there? Look in the spam folder, or go back and check the address.
sent-again = Use another address
verify-submit = Confirm

verify-title = Confirm your email address
verify-register-text = One click, and your account is ready.
verify-register-address = One click, and your account for { $email } is ready.
verify-elsewhere-text = The link was opened in another browser than the one that asked for it. Choose a password for the account here, so that nobody else can know it.
verify-email-text = This becomes the address of your account.
verify-email-address = { $email } becomes the address of your account.
verify-sign-in-text = Sign in to the account that this address is for, then open the link again.

verify-another-text = This link is for another account than the one that you are signed in to, so nothing was changed. Sign out first, then open the link again.

opened-title = Your account is ready
opened-without-name = Somebody else has taken the user name meanwhile, so the account has none: sign in with the email address. You can choose another user name on the account page.
opened-another = You are still signed in as { $user }. Sign out first to use the new account.
opened-account = Go to your account

## Forgotten passwords

forgotten-title = Forgotten password
forgotten-text = Enter your user name or email address. We send you a code with which you choose a new password.
forgotten-submit = Send code
forgotten-back = Back to sign-in
sent-reset-text = If there is an account for { $to }, an email is on its way to it. Enter the code from it, or open its link.
reset-title = Choose a new password
reset-text = You are signed out everywhere else once it is changed.
reset-submit = Set password

## The account

account-title = Your account
account-lead = Signed in as { $user }
account-sign-out = Sign out
profile-title = Profile
profile-attributes = What { $name } knows about you
username-submit = Save
address-title = Email address
address-none = There is no confirmed address.
address-now = Your address
new-address-label = New email address
new-address-hint = It is used once you have confirmed it with a code.
address-submit = Send code
address-pending = We sent a code to { $email }.
password-title = Password
current-password-label = Current password
password-submit = Change password
password-note = You stay signed in here and are signed out everywhere else.
factors-title = Second factors
factors-text = With a second factor, nobody signs in to your account with the password alone.
factors-none = There is none yet.
factor-kind = { $kind ->
    [totp] Authenticator app
   *[passkey] Passkey
}
factor-added = Added
factor-used = Last used
factor-unused = Not used yet
factor-remove = Remove
factor-remove-label = Remove factor { $number }: { $name }, added { $added }
factors-again = To change something here, sign in again.
factors-again-submit = Sign in again
account-again = To change anything here, sign in again with your second factor.
factor-last = This is your last second factor. Without it, your password alone signs you in.
totp-add = Add an authenticator app
passkey-add = Add a passkey
passkey-one-host = A passkey works at { $host } alone. Your account is good at other addresses too: an authenticator app works at all of them.
passkey-make = Create the passkey
passkey-make-text = Your device asks you to confirm that it is you.
totp-name-label = Name
totp-name-hint = To tell it from others, such as “My phone”.
totp-code-hint = Six digits, which change every half minute.
totp-submit = Confirm
recovery-heading = Recovery codes
recovery-left = { $count ->
    [0] None is left. Make new ones, so that you get in if you lose your second factor.
    [one] One is left.
   *[other] { $count } are left.
}
recovery-new = Make new recovery codes
recovery-new-hint = The old ones stop working. Codes are shown when they are made, and not again: make new ones if you do not have yours.
sessions-title = Where you are signed in
session-device = { $browser } on { $system }
session-unknown = Unknown device
session-this = This device
session-used = Last used
session-began = Signed in
session-from = from { $address }
session-end = Sign out
session-end-label = Sign out session { $number }: { $device }, signed in { $began }
sessions-more = Only the newest are shown.
sessions-end-others = Sign out everywhere else
sessions-end-all = Sign out everywhere
data-title = Your data
data-text = Everything that is kept about you, as a JSON file.
data-submit = Download
delete-title = Delete account
delete-text = Your profile, names, addresses, password and all sessions are erased. What stays is the security log: when you signed in and what was changed, from which network address, under a number that nobody else ever gets. This cannot be undone.
delete-open = Delete my account
delete-password-label = Your password
delete-submit = Delete for good

## Signing out

logout-title = Sign out?
logout-text = You are signed in as { $user }.
logout-text-guest = You have not signed in. What this browser has stored here will be deleted.
logout-submit = Sign out
logout-stay = Stay signed in
signed-out-title = Signed out
signed-out-text = You are signed out of { $name }.
signed-out-everywhere = You are signed out on all devices.

## When something is wrong

cookies-title = Cookies are blocked
cookies-text = This browser does not send back the cookie that keeps you signed in.
cookies-help-settings = Allow cookies for this site in the settings of the browser.
cookies-help-private = Some browsers block them in private windows or with strict protection: try a normal window.
cookies-help-extension = Turn off extensions that block cookies on this page.
cookies-retry = Try again
again-title = That took too long
again-text = This page has expired. Start again, and you get to where you were going.
again-home-text = This page has expired. Start again from { $name }.
again-submit = Start again

go-on-title = One moment
go-on-text = You are being taken to the page that you asked for.
go-on-submit = Go on now
error-title = { $kind ->
    [invalid] That did not work
    [link] This link does not work
    [cross_site] This did not come from our page
    [denied] Not allowed
    [not_found] There is no such page
    [method] This page does not work like that
    [too_large] That was too much
    [too_many] Too many attempts
    [unavailable] We will be back in a moment
   *[internal] Something went wrong
}
error-text = { $kind ->
    [invalid] Something in the address or the form cannot be understood.
    [link] The link has been used or has expired.
    [cross_site] The form was sent from another site, so nothing was done.
    [denied] You may not do this.
    [not_found] The address may be mistyped, or the page has moved.
    [method] Open it from the application.
    [too_large] What was sent is larger than we take.
    [too_many] Wait a while before you try again.
    [unavailable] Something that we need does not answer. Nothing was changed; try again soon.
   *[internal] It is not your fault. Nothing was changed; try again.
}
error-parameter = What is wrong: { $parameter }
error-request = Request { $id }
error-retry = Try again

problem-credentials = Name or password is wrong.
problem-passkey = This passkey was not accepted. Try again, or sign in another way.
problem-new-passkey = This passkey was not added. Try again, or use another device.
problem-too-many-attempts = Too many attempts. Try again in { $minutes ->
    [one] a minute
   *[other] { $minutes } minutes
}.
problem-rate-limited = Too many changes in a short time. Try again in { $minutes ->
    [one] a minute
   *[other] { $minutes } minutes
}.
problem-overloaded = We are busy right now. Try again in a few seconds.
problem-in-progress = Another sign-in to this account is under way. Try again in a few seconds.
problem-unavailable = Something that we need does not answer. Try again in a moment.
problem-failed = That did not work. Try again.
problem-try-again = The page was too old. Please try again.
problem-conflict = Something else changed at the same moment. Please try again.
problem-not-allowed = This is not allowed here.
problem-required = This is needed.
problem-code = The code is wrong, used up or expired.
problem-app-code-wrong = The code is wrong or was used before. Enter the next one. If no code is accepted, let the device set its time by itself.
problem-link = The link has been used or has expired. Ask for a new one.
problem-setup-over = This setup is over: too many codes were wrong, it took too long, or your account has changed since. Begin anew.
problem-app-code = Enter the 6 digits that the app shows.
problem-recovery-code = A recovery code has 25 letters and digits.
problem-password = The password is wrong.
problem-sign-in-too-old = Sign in again for this.
problem-password-short = Use at least { $min } characters.
problem-password-long = Use a shorter one.
problem-password-common = This is too easy to guess. Choose another.
problem-password-same = Choose one that is not the current one.
problem-password-characters = It has a character that cannot be used.
problem-email = Enter an address such as ada@example.org.
problem-name = Use letters, digits and punctuation, without spaces.
problem-name-address = A user name has no @.
problem-taken = This is taken. Choose another.
problem-too-long = This is too long.
problem-unusable = This cannot be used here. Enter something else.
problem-precondition = This cannot be done now.
problem-form-type = The form was not sent by one of our pages.
problem-form-size = The form is larger than 64 KiB.
problem-form-fields = The form has too many fields, or one that we do not know.
problem-form-twice = The form has a field twice.
problem-form-text = The form has characters that cannot be read.
problem-form-json = The form is not an object in JSON.
problem-form-flat = A field of the form is neither a string nor a boolean.
problem-form-late = The form did not arrive in time. Please try again.

notice-sign-in-expired = The sign-in took too long. Enter your password again to go on.
notice-codes-used-up = Too many codes were wrong. Enter your password again to begin anew.
notice-step-moved = This step was already taken, perhaps in another tab. Here is the next one.
notice-code-resent = We sent a new code to { $email }.
notice-password-reset = Your password is changed. Sign in with the new one.
notice-password-changed = { $ended ->
    [0] Your password is changed.
    [one] Your password is changed, and one other session has ended.
   *[other] Your password is changed, and { $ended } other sessions have ended.
}
notice-factor-added = The second factor is added. You are signed out everywhere else.
notice-factor-removed = The second factor is removed. You are signed out everywhere else.
notice-factor-gone = There is no such second factor any more.
notice-passkey-added = Your passkey is ready.
notice-name-changed = Your user name is changed.
notice-email-confirmed = { $email } is confirmed.
notice-account-created = Your account is ready. Sign in to use it.
notice-account-created-without-name = Your account is ready. Somebody else has taken the user name meanwhile: sign in with the email address.
notice-code-sent = We sent a code to { $email }.
notice-sessions-ended = { $ended ->
    [0] There was no other session.
    [one] One session has ended.
   *[other] { $ended } sessions have ended.
}
notice-account-deleted = Your account is deleted.
notice-sign-in-first = Sign in to go on.
notice-sign-in-to-confirm = Sign in to the account that the address is for.

## The issuer's front page

home-title = { $name }
home-text = Sign in to see your account.
home-signed-in = You are signed in as { $user }.
home-account = Your account
home-dev = What to try

## Development

dev-title = Ready to try
dev-text = This server runs for development. Everybody knows its passwords.
dev-user = A user to sign in as
dev-links = In the browser
dev-commands = On the command line
dev-user-name = User name
dev-user-password = Password
dev-try-sign-in = Sign in
dev-try-register = Create an account
dev-try-account = Look at your account
dev-try-mail = Read the emails that were kept
dev-try-api = Every call by JSON over HTTP, with a line to paste
dev-try-app = Open the application
dev-try-keys = Get the keys that check tokens
dev-try-metadata = Get the metadata
dev-try-login = Sign in over gRPC
dev-try-services = List the services
dev-try-check = Ask whom a cookie belongs to
