//! InfluxDB 1.x: databases with a retention, and users with passwords where the server asks for them.

use serde_json::Value;

use super::{
    super::report::{Outcome, Report},
    Database, Plan,
    retention::Retention,
    secrets::{self, Secret},
    server::{Answer, Login, Server},
};
use crate::failure::Failure;

/// Whom the server lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doors {
    /// Everybody: `auth-enabled = false`.
    Open,
    /// Users with passwords, and there is no administrator yet.
    Unclaimed,
    /// Users with passwords.
    Locked,
}

/// The bridge's user.
pub(crate) const BRIDGE: &str = "bridge";
/// Grafana's user.
const GRAFANA: &str = "grafana";

/// Asks without a password.
pub(super) async fn doors(server: &Server) -> Result<Doors, Failure> {
    let answer = server.influxql(&[], "SHOW DATABASES", Login::None).await?;
    match answer.status {
        200 => Ok(Doors::Open),
        403 if answer.body.contains("create admin user first") => Ok(Doors::Unclaimed),
        401 => Ok(Doors::Locked),
        _ => Err(refused(server, "to SHOW DATABASES", &answer)),
    }
}

/// Databases, users, rights.
pub(super) async fn prepare(
    server: &Server,
    doors: Doors,
    plan: &Plan,
    report: &mut Report,
) -> Result<(), Failure> {
    if doors == Doors::Open {
        report.warn(format!(
            "InfluxDB at {} asks nobody for a password: whoever reaches it can read and delete everything. To change \
             that, set `auth-enabled = true` under [http] of influxdb.conf, restart it, and run this again",
            server.address()
        ));
        let session = Session { server, login: Login::None };
        return session.databases(plan, report).await;
    }
    let admin = match doors {
        // Before it is given to the server: a crash in between must not lose it.
        Doors::Unclaimed => secrets::random(report, secrets::ADMIN_PASSWORD, "")?,
        _ => secrets::find(report, secrets::ADMIN_PASSWORD)?.ok_or_else(|| {
            Failure::configuration(format!(
                "InfluxDB at {} has users, and {} is missing: write the password of its administrator `{}` to that file \
                 (--influxdb-admin names another user) and run this again",
                server.address(),
                report.directory().join(secrets::ADMIN_PASSWORD).display(),
                plan.admin
            ))
        })?,
    };
    if doors == Doors::Unclaimed {
        let statement = format!(
            "CREATE USER {} WITH PASSWORD {} WITH ALL PRIVILEGES",
            name(&plan.admin),
            text(&admin.text)
        );
        let session = Session { server, login: Login::None };
        session.run(&statement, "create the administrator").await?;
        report.prepared(Outcome::Created, format!("administrator `{}`", plan.admin));
    }
    let session = Session { server, login: Login::Basic(&plan.admin, &admin.text) };
    session.check_administrator(plan, &admin).await?;
    session.databases(plan, report).await?;
    let grants = [(BRIDGE, secrets::BRIDGE_PASSWORD, "WRITE"), (GRAFANA, secrets::GRAFANA_PASSWORD, "READ")];
    for (user, file, privilege) in grants {
        let password = secrets::random(report, file, "")?;
        session.user(user, &password, report).await?;
        for database in &plan.databases {
            session.grant(user, privilege, database, report).await?;
        }
    }
    Ok(())
}

/// A server and the administrator.
struct Session<'a> {
    server: &'a Server,
    login: Login<'a>,
}

impl Session<'_> {
    /// Runs a statement; answers with the rows of its first result.
    async fn run(&self, statement: &str, purpose: &str) -> Result<Vec<Vec<Value>>, Failure> {
        let answer = self.server.influxql(&[], statement, self.login).await?;
        if !answer.is_success() {
            return Err(refused(self.server, &format!("to {purpose}"), &answer));
        }
        let result = answer.json().pointer("/results/0").cloned().unwrap_or_default();
        // 1.x answers 200 to statements that fail.
        if let Some(error) = result.get("error").and_then(Value::as_str) {
            return Err(Failure::failed(format!(
                "InfluxDB at {} refuses to {purpose}: {error}",
                self.server.address()
            )));
        }
        let rows = result.pointer("/series/0/values").and_then(Value::as_array);
        Ok(rows.into_iter().flatten().filter_map(|row| row.as_array().cloned()).collect())
    }

    async fn check_administrator(&self, plan: &Plan, secret: &Secret) -> Result<(), Failure> {
        let answer = self.server.influxql(&[], "SHOW USERS", self.login).await?;
        match answer.status {
            401 | 403 => Err(secrets::refused(
                secret.file,
                &format!("the password of an administrator `{}` (it says {})", plan.admin, answer.words()),
                "write the password of the server's administrator to this file, name the user with \
                 --influxdb-admin NAME, and run this again",
            )),
            _ => Ok(()),
        }
    }

    async fn databases(&self, plan: &Plan, report: &mut Report) -> Result<(), Failure> {
        let known = self.run("SHOW DATABASES", "list the databases").await?;
        for database in &plan.databases {
            let what = format!("database `{}`", database.name);
            if known.iter().any(|row| cell(row, 0) == Some(&database.name)) {
                self.check_retention(database, &what, report).await?;
                report.prepared(Outcome::Kept, what);
                continue;
            }
            let mut statement = format!("CREATE DATABASE {}", name(&database.name));
            if let Some(duration) = database.retention.duration() {
                statement.push_str(&format!(" WITH DURATION {duration} NAME \"autogen\""));
            }
            self.run(&statement, &format!("create the {what}")).await?;
            report.prepared(Outcome::Created, format!("{what}, which keeps points {}", database.retention));
        }
        Ok(())
    }

    /// A shorter retention would delete, so it is not for `init` to change.
    async fn check_retention(
        &self,
        database: &Database,
        what: &str,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let statement = format!("SHOW RETENTION POLICIES ON {}", name(&database.name));
        let policies = self.run(&statement, &format!("show the retention of the {what}")).await?;
        let default = policies.iter().find(|row| row.get(4).and_then(Value::as_bool) == Some(true));
        let Some(policy) = default else {
            report.warn(format!("the {what} has no default retention policy: nothing can be written to it"));
            return Ok(());
        };
        let (policy_name, shown) = (cell(policy, 0).unwrap_or_default(), cell(policy, 1).unwrap_or_default());
        if let Some(found) = Retention::from_shown(shown)
            && found != database.retention
        {
            let duration = database.retention.duration().unwrap_or_else(|| "INF".to_owned());
            report.warn(format!(
                "the {what} keeps points {found}, not {}, and is left so. To change it: ALTER RETENTION POLICY {} ON {} \
                 DURATION {duration}",
                database.retention,
                name(policy_name),
                name(&database.name),
            ));
        }
        Ok(())
    }

    /// The user, with this password.
    async fn user(&self, user: &str, password: &Secret, report: &mut Report) -> Result<(), Failure> {
        let what = format!("user `{user}`");
        let known = self.run("SHOW USERS", "list the users").await?;
        if !known.iter().any(|row| cell(row, 0) == Some(user)) {
            let statement = format!("CREATE USER {} WITH PASSWORD {}", name(user), text(&password.text));
            self.run(&statement, &format!("create the {what}")).await?;
            report.prepared(Outcome::Created, what);
            return Ok(());
        }
        let login = Login::Basic(user, &password.text);
        let accepted = self.server.influxql(&[], "SHOW DATABASES", login).await?.status != 401;
        match (accepted, password.is_new) {
            (true, _) => report.prepared(Outcome::Kept, what),
            (false, true) => {
                let statement = format!("SET PASSWORD FOR {} = {}", name(user), text(&password.text));
                self.run(&statement, &format!("give the {what} a new password")).await?;
                report
                    .prepared(Outcome::Created, format!("password of the {what}, for the old one was lost"));
            }
            (false, false) => {
                return Err(secrets::refused(
                    password.file,
                    &format!("the password of `{user}`"),
                    "write that password to this file, or delete the file and run this again, which gives the user a \
                     new one",
                ));
            }
        }
        Ok(())
    }

    async fn grant(
        &self,
        user: &str,
        privilege: &str,
        database: &Database,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let what = format!("{privilege} on `{}` for `{user}`", database.name);
        let statement = format!("SHOW GRANTS FOR {}", name(user));
        let grants = self.run(&statement, &format!("show the rights of `{user}`")).await?;
        let current = grants.iter().find(|row| cell(row, 0) == Some(&database.name));
        let current = current.and_then(|row| cell(row, 1)).unwrap_or("NO PRIVILEGES");
        if current == privilege || current == "ALL PRIVILEGES" {
            report.prepared(Outcome::Kept, what);
            return Ok(());
        }
        if current != "NO PRIVILEGES" {
            report.warn(format!("`{user}` had {current} on `{}`; it has {privilege} now", database.name));
        }
        let statement = format!("GRANT {privilege} ON {} TO {}", name(&database.name), name(user));
        self.run(&statement, &format!("grant {what}")).await?;
        report.prepared(Outcome::Created, what);
        Ok(())
    }
}

fn cell(row: &[Value], column: usize) -> Option<&str> {
    row.get(column).and_then(Value::as_str)
}

/// A name as InfluxQL quotes it.
fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A text as InfluxQL quotes it.
fn text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn refused(server: &Server, purpose: &str, answer: &Answer) -> Failure {
    Failure::failed(format!("InfluxDB at {} refuses {purpose}: {}", server.address(), answer.words()))
}
