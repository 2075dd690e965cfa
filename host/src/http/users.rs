//! Users of the product, as clients name them.

use axum::extract::State;

use super::Api;
use super::extract::{Json, Path};
use super::problem::Problem;
use crate::app::{ErasedUser, erase_user};

/// Delete a user's data everywhere
///
/// Interactions with their scores and signals, events, sessions, spans that wait, and the
/// name itself. It is overwritten in the file, and cannot be undone. What arrives
/// afterwards is kept: stop sending first. Backups are files of their own.
#[utoipa::path(delete, path = "/v1/users/{name}", tag = "production",
    params(("name" = String, Path, description = "The client's name of the user, as it is stored")),
    responses((status = 200, body = ErasedUser), (status = 403, body = Problem)))]
pub async fn delete(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<ErasedUser>, Problem> {
    Ok(Json(erase_user(&api.app.store, &name).await?))
}
