//! Backups, below the directory that the configuration names and nowhere else.

use std::path::{Path, PathBuf};

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::desk::{Desk, Reason};
use crate::http::json::Body;
use crate::http::problem::Problem;
use crate::{BackupError, BackupReport};

/// Longest name of a backup, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// A backup to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "2026-11-11", "reason": "before the sale"}))]
pub struct BackupBody {
    /// The directory's name below the configured one: 1 to 64 letters, digits, `.`, `_`, `-`, no dot first. It must be
    /// absent or empty.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-][A-Za-z0-9._-]*$")]
    pub name: String,
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// What a backup holds.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"name": "2026-11-11", "position": 120000, "stored": 119000, "events": 1000, "bytes": 73400320,
    "elapsed_ms": 5210}))]
pub struct BackupView {
    /// Its name.
    pub name: String,
    /// The last position in it.
    pub position: u64,
    /// The position of the store in it.
    pub stored: u64,
    /// Events in its journal.
    pub events: u64,
    /// Bytes copied.
    pub bytes: u64,
    /// How long it took, in ms.
    pub elapsed_ms: u64,
}

/// Makes a backup while everything goes on, and answers once it is complete and durable.
///
/// That may take minutes; a caller who goes away doesn't stop it.
#[utoipa::path(post, path = "/admin/backup", tag = "admin",
    operation_id = "admin_backup", request_body = BackupBody,
    responses((status = 200, description = "It is complete.", body = BackupView),
        (status = 507, description = "There is too little space for it.", body = crate::http::problem::ProblemBody,
            content_type = "application/problem+json")))]
pub async fn backup(desk: Desk, Body(body): Body<BackupBody>) -> Result<Json<BackupView>, Problem> {
    let reason = body.reason.given()?;
    let root = desk.app.admin().backup_root.as_deref().ok_or_else(|| {
        Problem::new(
            StatusCode::CONFLICT,
            "backups_off",
            "no directory for backups is configured",
            "未配置备份目录",
        )
    })?;
    let target = target(root, &body.name)?;
    desk.acted("backup.make", &body.name, reason).await?;
    let report = desk.engine().backup(&target).await.map_err(refused)?;
    let BackupReport { position, stored, events, bytes, elapsed_ms } = report;
    let (position, stored) = (position.0, stored.0);
    Ok(Json(BackupView { name: body.name, position, stored, events, bytes, elapsed_ms }))
}

/// Where a backup of that name goes.
///
/// # Errors
/// A name that could lead out of the root. A link is no directory of ours, either.
fn target(root: &Path, name: &str) -> Result<PathBuf, Problem> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let is_name =
        (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(is_plain);
    let target = root.join(name);
    let is_link = std::fs::symlink_metadata(&target).is_ok_and(|found| found.is_symlink());
    if is_name && !is_link {
        return Ok(target);
    }
    Err(Problem::invalid(
        "name",
        "a backup's name has 1 to 64 letters, digits, dots, underscores and dashes, no dot first",
        "备份名称应为 1 到 64 个字母、数字、点、下划线或短横线，且不以点开头",
    ))
}

/// Why there is no backup, without paths of the machine: those are for its log.
fn refused(error: BackupError) -> Problem {
    let problem = |status, code, english: &'static str, chinese: &'static str| {
        Problem::new(status, code, english, chinese)
    };
    match error {
        BackupError::NotEmpty { .. } => problem(
            StatusCode::CONFLICT,
            "backup_exists",
            "there is something under this name",
            "该名称下已有内容",
        )
        .field("name"),
        BackupError::AlreadyRunning => problem(
            StatusCode::CONFLICT,
            "backup_running",
            "another backup is being made: wait until it has ended",
            "另一个备份正在进行，请稍候",
        ),
        BackupError::DiskFull { .. } => problem(
            StatusCode::INSUFFICIENT_STORAGE,
            "backup_disk_full",
            "there is too little space for the backup",
            "磁盘空间不足，无法备份",
        ),
        error => {
            tracing::error!(%error, "a backup was not made");
            problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                "backup_failed",
                "the backup was not made: the log says why",
                "备份失败：原因见日志",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_root() {
        let root = Path::new("backups");
        for name in ["2026-11-11", "a.b_c-9", "A"] {
            assert_eq!(target(root, name).unwrap(), root.join(name));
        }
        let long = "a".repeat(65);
        for name in ["", ".", "..", ".a", "a/b", "/a", "../a", "a/../..", "a\\b", "a\0", "a b", "é", &long] {
            assert_eq!(target(root, name).unwrap_err().code(), "invalid_value", "{name}");
        }
    }
}
