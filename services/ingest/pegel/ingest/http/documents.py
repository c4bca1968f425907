"""What the routes say of themselves in OpenAPI: the bodies they read by hand, and their answers."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

REF = "#/components/schemas/{model}"


def describe(app: FastAPI, *models: type[BaseModel]) -> None:
    """Add the schemas of bodies that are read by hand to the application's document."""
    _, definitions = models_json_schema([(model, "validation") for model in models], ref_template=REF)
    document = app.openapi()
    document["components"]["schemas"].update(definitions["$defs"])


def items_body(model: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
    """openapi_extra of a route that takes one item, an array, or NDJSON."""
    item = {"$ref": REF.format(model=model.__name__)}
    lines = {"type": "string", "description": f"a {model.__name__} in JSON on each line"}
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"anyOf": [item, {"type": "array", "items": item}]}, "example": example},
                "application/x-ndjson": {"schema": lines},
            },
        }
    }


def one_body(model: type[BaseModel]) -> dict[str, Any]:
    """openapi_extra of a route that takes one JSON object."""
    schema = {"$ref": REF.format(model=model.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
